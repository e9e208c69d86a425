//! Waiting until enough replicas hold a write durably.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use settle_core::partition::{Beside, Found};
use settle_wire::link::Acked;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The acknowledgements of one write. The coordinator's own is always among those that are needed.
#[derive(Debug)]
pub(crate) struct Quorum {
    needed: usize,
    /// How many replicas acknowledged, plus [`OWN`] once this node did.
    state: AtomicUsize,
    met: Notify,
    found: Mutex<Found>,
}

/// A peer's share in a [`Quorum`]; dropped unused when the connection ends first.
#[derive(Debug)]
pub(crate) struct PeerAck(pub(crate) Arc<Quorum>);

const OWN: usize = 1 << 32;

/// The deadline passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Late {
    /// How many replicas had acknowledged.
    pub(crate) acked: usize,
    /// How many had to.
    pub(crate) needed: usize,
}

impl Late {
    /// What `quorum` lacks at present.
    pub(crate) fn of(quorum: &Quorum) -> Self {
        Self { acked: quorum.acked(), needed: quorum.needed }
    }
}

impl Quorum {
    /// A quorum of `needed` replicas, this node included.
    pub(crate) fn new(needed: usize) -> Arc<Self> {
        Arc::new(Self { needed, state: AtomicUsize::new(0), met: Notify::new(), found: Mutex::default() })
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
    fn acked(&self) -> usize {
        self.state.load(Ordering::Acquire) % OWN
    }

    /// What the peers found that have acknowledged so far, and maybe others.
    pub(crate) fn take_found(&self) -> Found {
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many replicas must hold the write.
    pub(crate) const fn needed(&self) -> usize {
        self.needed
    }

    /// Waits until enough do, at most until `deadline`.
    pub(crate) async fn within(&self, deadline: Instant) -> Result<(), Late> {
        timeout_at(deadline, self.met()).await.map_err(|_| Late::of(self))
    }

    async fn met(&self) {
        while !self.is_enough(self.state.load(Ordering::Acquire)) {
            self.met.notified().await;
        }
    }
}

impl Acked for PeerAck {
    fn beside(&self, beside: &Beside) {
        let mut found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.add(beside);
    }

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
