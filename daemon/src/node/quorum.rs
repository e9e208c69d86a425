//! Waiting until enough replicas hold a write durably.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use settle_wire::link::Acked;
use tokio::sync::Notify;

use super::sets::{PerSet, Sets};

/// The acknowledgements of one write. The coordinator's own is always among those that are needed.
#[derive(Debug)]
pub(crate) struct Quorum {
    needed: PerSet,
    /// In which sets the coordinator is.
    own: Sets,
    /// How many replicas of each set acknowledged, 16 bits for each, plus [`OWN`] once this node did.
    state: AtomicU64,
    met: Notify,
}

/// A peer's share in a [`Quorum`]; dropped unused when the connection ends first.
#[derive(Debug)]
pub(crate) struct PeerAck {
    /// What it is a share in.
    pub(crate) quorum: Arc<Quorum>,
    /// In which sets the peer is.
    pub(crate) sets: Sets,
}

const OWN: u64 = 1 << 32;

/// What one node of these sets adds to [`Quorum::state`].
const fn share(sets: Sets) -> u64 {
    let first = if sets.is_in_one_of(Sets::of(true, false)) { 1 } else { 0 };
    let second = if sets.is_in_one_of(Sets::of(false, true)) { 1 << 16 } else { 0 };
    first + second
}

/// How many of each set a state counts.
const fn counted(state: u64) -> PerSet {
    PerSet([(state & 0xffff) as usize, (state >> 16 & 0xffff) as usize])
}

impl Quorum {
    /// A quorum of `needed` replicas, this node included, which is in the sets `own`.
    pub(crate) fn new(needed: PerSet, own: Sets) -> Arc<Self> {
        Arc::new(Self { needed, own, state: AtomicU64::new(0), met: Notify::new() })
    }

    /// This node holds the write.
    pub(crate) fn own(&self) {
        self.add(OWN + share(self.own));
    }

    fn add(&self, share: u64) {
        let state = self.state.fetch_add(share, Ordering::AcqRel) + share;
        if self.is_enough(state) {
            self.met.notify_one();
        }
    }

    const fn is_enough(&self, state: u64) -> bool {
        state >= OWN && counted(state).lacking(self.needed).is_empty()
    }

    /// Of the set that lacks most: how many replicas are known to hold the write, and how many are needed.
    pub(crate) fn acked(&self) -> (usize, usize) {
        counted(self.state.load(Ordering::Acquire)).worst(self.needed)
    }

    /// Waits until enough do.
    pub(crate) async fn met(&self) {
        while !self.is_enough(self.state.load(Ordering::Acquire)) {
            self.met.notified().await;
        }
    }
}

impl Acked for PeerAck {
    fn acked(self) {
        self.quorum.add(share(self.sets));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    fn ack(quorum: &Arc<Quorum>, sets: Sets) {
        PeerAck { quorum: Arc::clone(quorum), sets }.acked();
    }

    async fn is_met(quorum: &Quorum) -> bool {
        timeout(Duration::from_secs(1), quorum.met()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn peers_alone_are_not_enough() {
        let one = Sets::of(true, false);
        let quorum = Quorum::new(PerSet([2, 0]), one);
        ack(&quorum, one);
        ack(&quorum, one);
        assert!(!is_met(&quorum).await);
        quorum.own();
        quorum.met().await;
        assert_eq!(quorum.acked(), (3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_layout_changes_the_old_replicas_are_not_enough_and_neither_are_the_new_ones() {
        let (old, new) = (Sets::of(true, false), Sets::of(false, true));
        for (sets, others) in [(old, new), (new, old)] {
            let quorum = Quorum::new(PerSet([2, 2]), sets);
            quorum.own();
            ack(&quorum, sets);
            ack(&quorum, sets);
            ack(&quorum, others);
            assert!(!is_met(&quorum).await);
            assert_eq!(quorum.acked(), (1, 2));
            ack(&quorum, Sets::NEITHER);
            assert!(!is_met(&quorum).await);
            ack(&quorum, others);
            quorum.met().await;
        }
    }
}
