//! Waiting until enough replicas hold a write durably.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use settle_wire::link::Acked;
use tokio::sync::Notify;

/// The acknowledgements of one write. The coordinator's own is always among those that are needed.
#[derive(Debug)]
pub(crate) struct Quorum {
    needed: usize,
    /// How many replicas acknowledged, plus [`OWN`] once this node did.
    state: AtomicUsize,
    met: Notify,
}

/// A peer's share in a [`Quorum`]; dropped unused when the connection ends first.
#[derive(Debug)]
pub(crate) struct PeerAck(pub(crate) Arc<Quorum>);

const OWN: usize = 1 << 32;

impl Quorum {
    /// A quorum of `needed` replicas, this node included.
    pub(crate) fn new(needed: usize) -> Arc<Self> {
        Arc::new(Self { needed, state: AtomicUsize::new(0), met: Notify::new() })
    }

    /// This node holds the write.
    pub(crate) fn own(&self) {
        self.add(OWN + 1);
    }

    fn add(&self, share: usize) {
        let state = self.state.fetch_add(share, Ordering::AcqRel) + share;
        if self.is_enough(state) {
            self.met.notify_one();
        }
    }

    const fn is_enough(&self, state: usize) -> bool {
        state >= OWN && state % OWN >= self.needed
    }

    /// How many replicas are known to hold the write.
    pub(crate) fn acked(&self) -> usize {
        self.state.load(Ordering::Acquire) % OWN
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
        self.0.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn peers_alone_are_not_enough() {
        let quorum = Quorum::new(2);
        PeerAck(Arc::clone(&quorum)).acked();
        PeerAck(Arc::clone(&quorum)).acked();
        assert!(timeout(Duration::from_secs(1), quorum.met()).await.is_err());
        quorum.own();
        quorum.met().await;
        assert_eq!(quorum.acked(), 3);
    }
}
