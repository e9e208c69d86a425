//! One canary at one peer: the interval in which it became visible.

use std::time::Instant;

use super::{Canary, Read, Visibility};

/// Collects the reads of one canary's slot at one peer until its visibility is settled.
#[derive(Debug, Clone)]
pub struct Watch {
    canary: Canary,
    /// Whether the write was acknowledged.
    pub(crate) acked: bool,
    /// The start of the last read that missed.
    missed: Option<Instant>,
    /// The end of the first read that showed it after the last miss.
    shown: Option<Instant>,
    /// Whether any read was answered.
    pub(crate) answered: bool,
    /// Whether a verdict read is still to come; until then a regression may widen the window.
    pub(crate) verdict_pending: bool,
    /// When a read of the slot was last begun, answered or not.
    pub(crate) asked: Option<Instant>,
}

// === impl Watch ===

impl Watch {
    /// A canary of which nothing is known yet.
    pub fn new(canary: Canary) -> Self {
        Self {
            canary,
            acked: false,
            missed: None,
            shown: None,
            answered: false,
            verdict_pending: false,
            asked: None,
        }
    }

    /// The canary being watched.
    pub fn canary(&self) -> &Canary {
        &self.canary
    }

    /// Takes in an answered read of this canary's slot. Reads may overlap and come out of order.
    ///
    /// An old value in a read that began after the canary had been shown reopens the window: it ends
    /// at the last old value seen, not at the first new one.
    pub fn observe(&mut self, read: &Read) {
        self.answered = true;
        if read.seen.reflects(self.canary.seq) {
            let overtaken = self.missed.is_some_and(|missed| read.end <= missed);
            if !overtaken {
                self.shown = Some(self.shown.map_or(read.end, |shown| shown.min(read.end)));
            }
        } else {
            self.missed = Some(self.missed.map_or(read.start, |missed| missed.max(read.start)));
            if self.shown.is_some_and(|shown| shown <= read.start) {
                self.shown = None;
            }
        }
    }

    /// Whether the peer has shown the canary and not taken it back.
    pub fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// When the canary became visible, once it has.
    pub fn visibility(&self) -> Option<Visibility> {
        let start = self.canary.start;
        // A miss from before the start says nothing: the value did not exist.
        let low = self.missed.map_or_else(Default::default, |missed| missed.saturating_duration_since(start));
        let high = self.shown?.saturating_duration_since(start);
        Some(Visibility { low, high })
    }
}
