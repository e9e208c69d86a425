//! The judgement, without any I/O: a timeline of what was written, acknowledged and read becomes
//! visibility, lag, staleness and outcomes.
//!
//! All times are readings of the sidecar's own monotonic clock. What a read proves is bounded by its
//! own start and end: the replica answered at some moment between the two, nobody knows when.

mod convergence;
mod ledger;
mod owed;
mod pace;
mod stale;
mod watch;

use std::time::{Duration, Instant};

pub use convergence::{Converged, Convergence};
pub use ledger::{Ledger, Outcome, Settled};
pub use owed::{Owed, Regressed};
pub use pace::Pace;
pub use stale::{Freshness, judge};
pub use watch::Watch;

/// The number of a canary, rising with every canary that this process writes. A later canary in the
/// same slot overwrites the earlier ones and so reflects them.
pub type Seq = u64;

/// One of the fixed keys that canaries are written to.
pub type Slot = u32;

/// What a read found in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No value.
    Absent,
    /// A value that this process did not write: of an earlier run under the same name, say.
    Foreign,
    /// A canary of this process.
    Canary(Seq),
}

/// One answered read of one slot at one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The slot that was read.
    pub slot: Slot,
    /// Just before the request was sent.
    pub start: Instant,
    /// When the whole answer was there.
    pub end: Instant,
    /// What the answer held.
    pub seen: Seen,
}

/// A canary at the moment at which its write is about to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// Its number.
    pub seq: Seq,
    /// Where it is written.
    pub slot: Slot,
    /// Just before its write was sent: where its clock starts.
    pub start: Instant,
}

/// When a canary became visible at a peer, counted from the canary's start. The truth lies between
/// the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visibility {
    /// The start of the last read that missed it; zero when none did.
    pub low: Duration,
    /// The end of the first read that showed it and went on showing it.
    pub high: Duration,
}

// === impl Seen ===

impl Seen {
    /// Whether whoever holds this value has taken in canary `seq` of the same slot.
    pub fn reflects(self, seq: Seq) -> bool {
        matches!(self, Self::Canary(found) if found >= seq)
    }
}

// === impl Visibility ===

impl Visibility {
    /// How finely the moment is known.
    pub fn resolution(&self) -> Duration {
        self.high.saturating_sub(self.low)
    }
}

#[cfg(test)]
mod tests;
