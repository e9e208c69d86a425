//! Verdict reads: is what a peer returned as new as what was acknowledged before the read began?

use super::{Seen, Seq};

/// What a verdict read was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// At least as new as the last canary acknowledged before the read began.
    Fresh,
    /// An older value.
    Stale,
    /// No value at all, where one had been acknowledged.
    Missing,
}

/// Judges what a read found against the last canary of that slot that had been acknowledged when the
/// read began. A newer one, acknowledged or not, is fresh too.
pub fn judge(acknowledged: Seq, seen: Seen) -> Freshness {
    match seen {
        seen if seen.reflects(acknowledged) => Freshness::Fresh,
        Seen::Absent => Freshness::Missing,
        Seen::Foreign | Seen::Canary(_) => Freshness::Stale,
    }
}

// === impl Freshness ===

impl Freshness {
    /// Whether the reader got less than what had been acknowledged.
    pub fn is_stale(self) -> bool {
        self != Self::Fresh
    }
}
