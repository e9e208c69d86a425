//! The peers on the board: who they are, what was read at them, what that means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use settle_wire::http::Base;
use tokio::sync::Notify;

use super::super::peer::VerdictQueue;
use super::{Board, State};
use crate::config::Objective;
use crate::metrics::{PeerMetrics, Throttled};
use crate::target::{Layout, NoAddress, Other};
use crate::verdict::{Canary, Freshness, Ledger, Outcome, Read, Seq, Slot};
use crate::window::{Counts, Samples};

/// One target.
pub(crate) struct Peer {
    /// The last one known.
    pub(crate) api: Result<Base, NoAddress>,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: PeerMetrics,
    /// Wakes the task that polls this peer, and tells it from the task of an earlier peer of the name.
    pub(crate) wake: Arc<Notify>,
    pub(crate) verdicts: Arc<VerdictQueue>,
    /// Whether the last read was answered; nothing before the first.
    pub(crate) up: Option<bool>,
    /// When the newest of the answered reads began.
    answered: Option<Instant>,
    pub(crate) last_error: Option<String>,
    /// Seconds until a canary was visible, the upper end.
    pub(crate) visibility: Samples,
    pub(crate) resolution: Samples,
    pub(crate) stale: Counts,
}

/// A peer that needs its tasks started.
#[derive(Debug)]
pub(crate) struct NewPeer {
    pub(crate) name: String,
    pub(crate) wake: Arc<Notify>,
    pub(crate) verdicts: Arc<VerdictQueue>,
}

/// The next read at a peer.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) api: Result<Base, NoAddress>,
    /// Which slot and when; nothing when nothing is awaited.
    pub(crate) read: Option<(Instant, Slot)>,
    /// The slot to read when nothing is awaited.
    pub(crate) any: Slot,
}

// === impl Board ===

impl Board {
    /// Takes in the cluster as the own replica sees it. A peer stays a target until it leaves the
    /// layout; returns those that are new.
    pub(crate) fn set_layout(&self, layout: Layout, now: Instant) -> Vec<NewPeer> {
        let mut state = self.locked();
        let stays = |name: &str| layout.peers.iter().any(|replica| replica.name == name);
        let gone: Vec<String> = state.peers.keys().filter(|name| !stays(name)).cloned().collect();
        gone.iter().for_each(|name| self.remove(&mut state, name, now));
        let mut new = Vec::new();
        for replica in &layout.peers {
            if let Some(peer) = state.peers.get_mut(&replica.name) {
                peer.learn(replica);
                let released = peer.ledger.release(|slot| !layout.placement.holds(&replica.name, slot));
                for converged in state.books.release(&replica.name, &released) {
                    self.converged(&mut state.books, Some(converged), now);
                }
                continue;
            }
            match &replica.api {
                Ok(api) => tracing::info!(peer = replica.name, %api, "peer found"),
                Err(problem) => tracing::warn!(peer = replica.name, %problem, "peer found, cannot be asked"),
            }
            let peer = Peer::new(replica.api.clone(), self.metrics.peer(&replica.name));
            new.push(NewPeer {
                name: replica.name.clone(),
                wake: Arc::clone(&peer.wake),
                verdicts: Arc::clone(&peer.verdicts),
            });
            state.peers.insert(replica.name.clone(), peer);
        }
        state.layout = Some(layout);
        new
    }

    /// What the peer's task should do next; nothing when the peer is gone.
    pub(crate) fn next_read(&self, name: &str, wake: &Arc<Notify>) -> Option<Due> {
        let state = self.locked();
        let peer = state.peers.get(name).filter(|peer| Arc::ptr_eq(&peer.wake, wake))?;
        let any = state.layout.as_ref().and_then(|layout| layout.placement.shared_with(name));
        Some(Due { api: peer.api.clone(), read: peer.ledger.next_read(), any: any.unwrap_or_default() })
    }

    /// A read of a slot begins.
    pub(crate) fn asked(&self, name: &str, slot: Slot, at: Instant) {
        if let Some(peer) = self.locked().peers.get_mut(name) {
            peer.ledger.asked(slot, at);
        }
    }

    /// A read was answered.
    pub(crate) fn observe(&self, name: &str, read: &Read) {
        let mut state = self.locked();
        let Some(peer) = state.peers.get_mut(name) else { return };
        if peer.up.replace(true) == Some(false) {
            tracing::info!(peer = name, "peer answers");
        }
        peer.answered = peer.answered.max(Some(read.start));
        peer.last_error = None;
        if let Some(regressed) = peer.ledger.observe(read) {
            self.metrics.regressions.inc();
            tracing::warn!(peer = name, ?regressed, "old value after a newer one");
        }
        self.settle(&mut state, name, read.end);
    }

    /// A read that began at `start` got no usable answer, or could not be made for want of an address.
    pub(crate) fn failed(&self, name: &str, error: String, start: Instant) {
        let mut state = self.locked();
        let Some(peer) = state.peers.get_mut(name) else { return };
        if peer.answered.is_some_and(|answered| answered > start) {
            // Its deadline passed only after the peer had recovered.
            return;
        }
        if peer.up.replace(false) != Some(false) {
            tracing::warn!(peer = name, error, "peer cannot be read");
        }
        peer.last_error = Some(error);
    }

    /// The last canary acknowledged in a slot.
    pub(crate) fn acknowledged(&self, slot: Slot) -> Option<Seq> {
        self.locked().ring.acknowledged(slot)
    }

    /// Has a verdict read of this canary made at `at`.
    pub(crate) fn schedule_verdict(&self, name: &str, canary: &Canary, at: Instant) {
        let mut state = self.locked();
        let Some(peer) = state.peers.get_mut(name) else { return };
        if !peer.verdicts.push(canary, at) {
            peer.ledger.verdict_over(canary.seq);
            self.metrics.throttled(Throttled::InFlight);
        }
    }

    /// The verdict read of a canary was made, with this result, or without an answer.
    pub(crate) fn verdict(&self, name: &str, seq: Seq, result: Option<Freshness>, now: Instant) {
        let window = self.probe().window;
        let mut state = self.locked();
        let Some(peer) = state.peers.get_mut(name) else { return };
        peer.ledger.verdict_over(seq);
        match result {
            None => peer.metrics.error.inc(),
            Some(Freshness::Fresh) => peer.metrics.fresh.inc(),
            Some(Freshness::Stale) => peer.metrics.stale.inc(),
            Some(Freshness::Missing) => peer.metrics.missing.inc(),
        }
        if let Some(result) = result {
            let bad = u64::from(result.is_stale());
            peer.stale.add(now, 1, bad, window);
            state.books.stale.add(now, 1, bad, window);
            self.metrics.objective.count(Objective::StaleReadRate, 1, bad);
        }
        self.settle(&mut state, name, now);
    }

    /// The verdict read of a canary will not be made.
    pub(crate) fn no_verdict(&self, name: &str, seq: Seq, now: Instant) {
        let mut state = self.locked();
        if let Some(peer) = state.peers.get_mut(name) {
            peer.ledger.verdict_over(seq);
            self.settle(&mut state, name, now);
        }
    }

    pub(crate) fn peer_count(&self) -> usize {
        self.locked().peers.len()
    }

    /// Whether some peer still has to be read in this slot.
    pub(crate) fn needs(&self, slot: Slot) -> bool {
        self.locked().peers.values().any(|peer| peer.ledger.needs(slot))
    }

    fn remove(&self, state: &mut State, name: &str, now: Instant) {
        tracing::info!(peer = name, "peer left the layout");
        if let Some(peer) = state.peers.remove(name) {
            // Its tasks find out by themselves that it is gone.
            peer.wake.notify_one();
            peer.verdicts.close();
        }
        self.metrics.remove_peer(name);
        for converged in state.books.leave(name) {
            self.converged(&mut state.books, Some(converged), now);
        }
    }
}

// === impl State ===

impl State {
    /// `count` of these peers in rotation, and all of them that are behind.
    pub(crate) fn sample(&mut self, of: Vec<String>, count: usize) -> Vec<String> {
        let total = of.len();
        let from = self.rotation.checked_rem(total).unwrap_or(0);
        self.rotation = from + count;
        let chosen = |index: usize| (index + total - from) % total < count;
        let is_behind = |name: &String| self.peers.get(name).is_some_and(|peer| peer.ledger.is_behind());
        let sample = of.into_iter().enumerate().filter(|(index, name)| chosen(*index) || is_behind(name));
        sample.map(|(_, name)| name).collect()
    }
}

// === impl Peer ===

impl Peer {
    fn new(api: Result<Base, NoAddress>, metrics: PeerMetrics) -> Self {
        Self {
            api,
            ledger: Ledger::default(),
            metrics,
            wake: Arc::new(Notify::new()),
            verdicts: Arc::default(),
            up: None,
            answered: None,
            last_error: None,
            visibility: Samples::default(),
            resolution: Samples::default(),
            stale: Counts::default(),
        }
    }

    /// Takes in what is said of it now. An address stays until there is another one: a replica that
    /// restarts forgets those of the peers that it cannot reach, which have not moved for that.
    fn learn(&mut self, told: &Other) {
        if self.api == told.api || (self.api.is_ok() && told.api.is_err()) {
            return;
        }
        match &told.api {
            Ok(api) => tracing::info!(peer = told.name, %api, "address of peer learned"),
            Err(problem) => tracing::warn!(peer = told.name, %problem, "peer cannot be asked"),
        }
        self.api = told.api.clone();
    }

    /// Counts how a canary ended here; gives the time observed and whether it was shown. What never
    /// showed up is observed at the deadline, so that the worst cases are not left out.
    pub(crate) fn settled(&mut self, now: Instant, outcome: Outcome, deadline: Duration) -> (Duration, bool) {
        let (after, shown) = match outcome {
            Outcome::Converged(visibility) => {
                self.metrics.converged.inc();
                let resolution = visibility.resolution().as_secs_f64();
                self.metrics.resolution.observe(resolution);
                self.resolution.push(now, resolution);
                (visibility.high, true)
            }
            Outcome::Expired => {
                self.metrics.expired.inc();
                (deadline, false)
            }
            Outcome::Unreachable => {
                self.metrics.unreachable.inc();
                (deadline, false)
            }
        };
        self.metrics.visibility.observe(after.as_secs_f64());
        self.visibility.push(now, after.as_secs_f64());
        (after, shown)
    }
}
