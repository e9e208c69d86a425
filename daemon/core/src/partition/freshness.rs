//! Freshness without synchronised clocks: what is proven of how far this replica is behind.
//!
//! A replica asks a peer for its durable clock at its own monotonic time `t0`. Once it covers the clock that it was
//! told, it reflects every write that was acknowledged through that peer before `t0`, because the peer answered after
//! `t0`. No wall clock takes part, and no second host's clock.

use crate::clock::Clock;
use crate::dot::NodeId;
use crate::plant::{Plant, planted};

use super::Partition;

/// A monotonic instant of this process, in nanoseconds from an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

/// A durable clock that a peer told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The clock.
    pub clock: Clock,
    /// Whether the peer cannot lose any of it in a crash: it syncs whatever it tells.
    pub firm: bool,
}

/// A peer told less than it did before, and cannot have lost it in a crash: its disk is an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it lacks {lost} writes that it said to have")]
pub struct WentBack {
    /// How many of the writes that it told of it does not have any more.
    pub lost: u64,
}

/// What this replica knows of another replica of the partition.
#[derive(Debug, Default)]
pub(super) struct PeerView {
    /// The last durable clock that it told. Replaced, never joined: a peer may have lost what it had.
    told: Option<Told>,
    /// Whether it told that on its present connection.
    current: bool,
    /// Told clocks that are not covered yet. The older one stays until it is covered, or a peer that is always a
    /// little ahead would never let a proof complete; the newer one then takes its place.
    older: Option<(Moment, Clock)>,
    newer: Option<(Moment, Clock)>,
    /// Every write acknowledged through the peer before this is reflected here.
    proof: Option<Moment>,
}

impl PeerView {
    pub(super) fn watermark(&self) -> Option<&Clock> {
        self.told.as_ref().filter(|_| self.current).map(|told| &told.clock)
    }

    /// What it has, by its last word, in this life or an earlier one.
    fn last_told(&self) -> Option<&Clock> {
        self.told.as_ref().filter(|told| self.current || told.firm).map(|told| &told.clock)
    }

    fn settle(&mut self, durable: &Clock, now: Moment) {
        while let Some((asked, _)) = self.older.take_if(|(_, told)| durable.covers(told)) {
            let stamp = if planted(Plant::ProofStampedWhenCovered) { now } else { asked };
            self.proof = self.proof.max(Some(stamp));
            self.older = self.newer.take();
        }
    }

    fn wait_for(&mut self, asked: Moment, told: Clock) {
        let slot = if self.older.is_none() { &mut self.older } else { &mut self.newer };
        *slot = Some((asked, told));
    }
}

impl Partition {
    /// What an echo is answered with.
    #[must_use]
    pub fn echo(&self) -> Clock {
        if !planted(Plant::EchoTellsOwnDotsOnly) {
            return self.durable.clone();
        }
        let own = self.durable.ranges().filter(|range| range.origin == self.origin);
        own.fold(Clock::new(), |mut clock, range| {
            clock.add_range(range);
            clock
        })
    }

    /// A peer that was asked at `asked` has answered with its durable clock; it is `now`.
    ///
    /// # Errors
    /// [`WentBack`]; the answer is not taken then, and nothing that the peer says may be.
    pub fn told(&mut self, peer: NodeId, asked: Moment, told: Told, now: Moment) -> Result<(), WentBack> {
        let view = self.peers.entry(peer).or_default();
        // On one connection answers may come out of order, and nothing can have been lost.
        if let Some(before) = view.told.as_ref().filter(|before| before.firm && !view.current) {
            let lost = before.clock.minus(&told.clock).count();
            if lost > 0 {
                return Err(WentBack { lost });
            }
        }
        view.settle(&self.durable, now);
        view.wait_for(asked, told.clock.clone());
        (view.told, view.current) = (Some(told), true);
        view.settle(&self.durable, now);
        Ok(())
    }

    /// A peer that was asked at `asked` has answered that its clock is what it told before.
    pub fn told_same(&mut self, peer: NodeId, asked: Moment, now: Moment) {
        let Some(view) = self.peers.get_mut(&peer) else { return };
        view.settle(&self.durable, now);
        let Some(watermark) = view.watermark() else { return };
        if self.durable.covers(watermark) {
            view.proof = view.proof.max(Some(asked));
            view.older = None;
            view.newer = None;
        } else {
            let watermark = watermark.clone();
            view.wait_for(asked, watermark);
        }
    }

    /// A peer may have restarted: what it told does not count until it tells again. What was proven stays true.
    pub fn forget(&mut self, peer: NodeId) {
        if let Some(view) = self.peers.get_mut(&peer) {
            *view = PeerView { proof: view.proof, told: view.told.take(), ..PeerView::default() };
        }
    }

    /// Forgets all that was told by, and proven of, replicas that are not among the `others` any more: what one of them has
    /// dropped it does not have, and when it comes back it is new.
    pub fn retain_peers(&mut self, others: &[NodeId]) {
        if !planted(Plant::DroppedNotForgotten) {
            self.peers.retain(|peer, _| others.contains(peer));
        }
    }

    /// Before which moment every write acknowledged through `peer` is proven to be reflected here.
    pub fn proof(&mut self, peer: NodeId, now: Moment) -> Option<Moment> {
        let view = self.peers.get_mut(&peer)?;
        view.settle(&self.durable, now);
        view.proof
    }

    /// How far this replica may be behind, in nanoseconds: every write acknowledged longer ago than that, through any
    /// of the `others`, is reflected here. `None` where that was not proven since the start.
    pub fn bound(&mut self, others: &[NodeId], now: Moment) -> Option<u64> {
        let mut bound = 0;
        for peer in others {
            let proof = self.proof(*peer, now)?;
            bound = bound.max(now.0.saturating_sub(proof.0));
        }
        Some(bound)
    }

    /// The last clock that a peer told on its present connection.
    #[must_use]
    pub fn watermark(&self, peer: NodeId) -> Option<&Clock> {
        self.peers.get(&peer)?.watermark()
    }

    /// What a peer has by its last word, however long ago that was.
    #[must_use]
    pub fn last_told(&self, peer: NodeId) -> Option<&Clock> {
        self.peers.get(&peer)?.last_told()
    }

    /// How many writes `peer` has that are not durable here; `None` while it has told nothing.
    #[must_use]
    pub fn missing_from(&self, peer: NodeId) -> Option<u64> {
        self.watermark(peer).map(|told| told.minus(&self.durable).count())
    }

    /// Whether `peer` told, in answer to a question asked not later than `before`, of writes that never arrived here.
    #[must_use]
    pub fn behind(&self, peer: NodeId, before: Moment) -> bool {
        let told = self.peers.get(&peer).and_then(|view| view.older.as_ref());
        told.is_some_and(|(asked, told)| *asked <= before && !self.clock.covers(told))
    }

    /// Whether `peer` is known to have writes that never arrived here.
    #[must_use]
    pub fn lacks_from(&self, peer: NodeId) -> bool {
        self.watermark(peer).is_some_and(|told| !self.clock.covers(told))
    }

    /// Whether `peer`, by its last word, lacks writes that have been durable here for a while: log records that stayed long
    /// enough to get rows of their own ([`Partition::spill`]).
    #[must_use]
    pub fn is_far_behind(&self, peer: NodeId) -> bool {
        let old = self.log.spilled();
        !old.is_empty() && !self.watermark(peer).is_some_and(|told| told.covers(old))
    }
}
