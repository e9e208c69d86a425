//! What a write finds at other replicas that it does not supersede, and how it comes to supersede it.
//!
//! `lww` at more than one replica promises to overwrite whatever was acknowledged at its level before, also what its
//! coordinator has not seen, and whatever wall clocks say. Asking a quorum first would cost every write a round trip to
//! learn what is nearly always nothing. Instead each replica that takes the write says what stands beside it there; one
//! of those that acknowledge it has whatever was acknowledged before. If anything was found, the write is restated over
//! it ([`super::Partition::restate`]) before its client is answered.

use crate::clock::Clock;
use crate::dot::Dot;
use crate::entry::Version;
use crate::plant::{Plant, planted};

use super::apply::Delta;

/// What a delta found here that it does not supersede.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// Versions under these dots, concurrent to the write.
    Versions(Clock),
    /// Versions of which some may have been written in knowledge of this write: it was seen here before.
    Unknown,
}

/// What the replicas found that took a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    versions: Clock,
    unknown: bool,
}

/// A write that is to overwrite what its level acknowledged before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overwriting {
    /// Whatever was acknowledged before is superseded by now: what is found any more came later.
    done: bool,
}

impl Beside {
    /// What of a key's `siblings` a delta does not supersede; `met` says that the write was met here before, by its dot
    /// or in another's context.
    pub(super) fn of(siblings: &[(Dot, Version)], delta: &Delta, met: bool) -> Self {
        let others: Clock =
            siblings.iter().map(|(dot, _)| *dot).filter(|dot| !delta.seen.holds(*dot)).collect();
        if others.is_empty() {
            return Self::Nothing;
        }
        // What was written in knowledge of the write would have superseded it.
        let stands = siblings.iter().any(|(dot, _)| delta.seen.holds(*dot));
        if stands || !met {
            return Self::Versions(others);
        }
        if planted(Plant::FoundBeforeIsNothing) { Self::Nothing } else { Self::Unknown }
    }
}

impl Found {
    /// Adds what one replica found.
    pub fn add(&mut self, beside: &Beside) {
        match beside {
            Beside::Nothing => {}
            Beside::Versions(dots) => self.versions.join(dots),
            Beside::Unknown => self.unknown = true,
        }
    }
}

impl Overwriting {
    /// Takes what was found by those replicas that made up the level: over which dots the write is to be restated;
    /// `None` when it may be answered.
    pub fn next(&mut self, found: Found) -> Option<Clock> {
        if self.done || found == Found::default() || planted(Plant::FoundIsIgnored) {
            return None;
        }
        // The restated write is new to all, so what it finds is known.
        self.done = !found.unknown;
        Some(found.versions)
    }
}
