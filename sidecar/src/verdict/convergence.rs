//! One canary over all its peers: the time until the last of them showed it.

use std::collections::BTreeSet;
use std::time::Duration;

/// The peers that a canary is still waited for at.
#[derive(Debug, Clone)]
pub struct Convergence {
    pending: BTreeSet<String>,
    slowest: Duration,
    complete: bool,
    observed: bool,
}

/// How a canary ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converged {
    /// From the canary's start until the last peer showed it, or the deadline.
    pub after: Duration,
    /// False when some peer had not shown it by the deadline.
    pub complete: bool,
}

// === impl Convergence ===

impl Convergence {
    /// A canary to be waited for at these peers.
    pub fn new(peers: impl IntoIterator<Item = String>) -> Self {
        let pending = peers.into_iter().collect();
        Self { pending, slowest: Duration::ZERO, complete: true, observed: false }
    }

    /// The peer showed the canary `after` its start, or was given up at the deadline.
    pub fn settle(&mut self, peer: &str, after: Duration, shown: bool) {
        if self.pending.remove(peer) {
            self.slowest = self.slowest.max(after);
            self.complete &= shown;
            self.observed = true;
        }
    }

    /// The peer left the layout: it is no longer one of those that must have the canary.
    pub fn leave(&mut self, peer: &str) {
        self.pending.remove(peer);
    }

    /// The result once no peer is waited for; nothing when there was none to begin with.
    pub fn result(&self) -> Option<Converged> {
        let done = self.pending.is_empty() && self.observed;
        done.then_some(Converged { after: self.slowest, complete: self.complete })
    }

    /// Whether nobody is waited for any more.
    pub fn is_over(&self) -> bool {
        self.pending.is_empty()
    }
}
