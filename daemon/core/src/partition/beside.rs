//! What a write finds at other replicas that it does not supersede, and how it comes to supersede it.
//!
//! `lww` at more than one replica promises to overwrite whatever was acknowledged at its level before, also what its
//! coordinator has not seen, and whatever wall clocks say. Asking a quorum first would cost every write a round trip to
//! learn what is nearly always nothing. Instead each replica that takes the write says what it has seen of the key beside
//! it; one of those that acknowledge it has whatever was acknowledged before. If anything was found, the write is restated
//! over it ([`super::Partition::restate`]) before its client is answered.
//!
//! What a replica has seen is more than what it shows: a delete or a later write may stand between the two, unknown to
//! all others, and what it superseded would still be shown by them. Which dots are the key's is in the log, since the
//! coordinator lacks them.

use crate::clock::Clock;
use crate::dot::Dot;
use crate::entry::Version;
use crate::plant::{Plant, planted};

use super::Partition;
use super::apply::Delta;

/// What a delta found here that it does not supersede.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// Writes under these dots, made without knowledge of it: shown here or superseded in turn. Some may be other keys'.
    Versions(Clock),
    /// Writes of which some may have been made in knowledge of it: it was seen here before.
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

impl Partition {
    /// What a delta that was just applied does not supersede here; `siblings` is what the key shows now, `met` says that
    /// the write was met here before, by its dot or in another's context.
    ///
    /// Dots of the key's explicit context do not matter: each write that was acknowledged is in the clocks of its level.
    pub(super) fn beside(&self, delta: &Delta, siblings: &[(Dot, Version)], met: bool) -> Beside {
        let known = &delta.entry.context;
        let others = if planted(Plant::HiddenIsNotFound) {
            siblings.iter().map(|(dot, _)| *dot).filter(|dot| !known.has(*dot)).collect()
        } else {
            self.log.of_key(self.clock.minus(known), &delta.key)
        };
        if others.is_empty() {
            return Beside::Nothing;
        }
        // What was written in knowledge of the write would have superseded it.
        let stands = siblings.iter().any(|(dot, _)| delta.seen.holds(*dot));
        if stands || !met {
            return Beside::Versions(others);
        }
        if planted(Plant::FoundBeforeIsNothing) { Beside::Nothing } else { Beside::Unknown }
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
