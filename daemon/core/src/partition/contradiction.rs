//! When two replicas contradict each other, and what is done about it.
//!
//! What a replica has seen it has kept or knows to be superseded. So if one replica shows a version that another has
//! seen and does not show, the other must know of a write that supersedes it. If the first has seen everything that the
//! other had seen, it knows that write too, and shows the version all the same: then one of them has lost something.
//! Which one cannot be told from here, and an absence must not win as if it were a delete. So the versions of both are
//! written anew, under dots that nobody has seen.

use crate::clock::Clock;
use crate::dot::Dot;
use crate::entry::Version;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::StorageError;

use super::apply::Applied;
use super::compare::Held;
use super::{Partition, Transaction, Write, Written};

/// What two replicas held, each at two instants, of which the second is the same or later.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) ours: [Held; 2],
    pub(super) theirs: [Held; 2],
}

/// Versions of a key about which two replicas contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The key.
    pub key: Key,
    /// What the other replica shows, and this one has seen and does not show.
    lost_here: Vec<(Dot, Version)>,
    /// What this replica shows, and the other one has seen and does not show.
    lost_there: Vec<Dot>,
    /// What the other replica shows under dots under which this one shows something else.
    garbled: Vec<(Dot, Version)>,
    theirs: Held,
}

/// What a comparison says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They agree, but for writes that one of them will get.
    Fine,
    /// One may know a write that the other lacks: look again later.
    Unsure,
    Contradicted(Contradiction),
}

impl Held {
    fn has_seen(&self, dot: Dot) -> bool {
        self.clock.has(dot) || self.entry.context.has(dot)
    }

    ///
    /// What is in the other's clock must be in the clock here: a client's context may name a write without what that
    /// write superseded, and then the explicit context does not tell it either.
    fn follows(&self, other: &Self) -> bool {
        let follows = || self.clock.covers(&other.clock) && self.known().covers(&other.known());
        planted(Plant::DifferenceIsContradiction) || follows()
    }

    fn version(&self, dot: Dot) -> Option<&Version> {
        let found = self.entry.siblings.binary_search_by_key(&dot, |(dot, _)| *dot).ok();
        found.and_then(|index| self.entry.siblings.get(index)).map(|(_, version)| version)
    }

    /// What is shown here that `other` has seen and does not show.
    fn gone_from<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a (Dot, Version)> {
        self.entry.siblings.iter().filter(|(dot, _)| other.version(*dot).is_none() && other.has_seen(*dot))
    }

    /// The part of that which is a contradiction: whatever supersedes it was seen here.
    fn contradicts<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a (Dot, Version)> {
        self.follows(other).then(|| self.gone_from(other)).into_iter().flatten()
    }
}

impl Pair {
    /// Compares. One side's earlier state may be what the other has caught up with.
    pub(super) fn standing(self, key: &Key) -> Standing {
        let Self { ours: [ours_then, ours], theirs: [theirs_then, theirs] } = self;
        let lost_here: Vec<_> =
            theirs.contradicts(&ours_then).filter(|(dot, _)| ours.version(*dot).is_none()).cloned().collect();
        let lost_there: Vec<Dot> = ours
            .contradicts(&theirs_then)
            .map(|(dot, _)| *dot)
            .filter(|dot| theirs.version(*dot).is_none())
            .collect();
        let differs = |(dot, version): &&(Dot, Version)| ours.version(*dot).is_some_and(|own| own != version);
        let mut garbled: Vec<_> = theirs.entry.siblings.iter().filter(differs).cloned().collect();
        if planted(Plant::SameDotsAgree) {
            garbled.clear();
        }
        if !lost_here.is_empty() || !lost_there.is_empty() || !garbled.is_empty() {
            let key = key.clone();
            return Standing::Contradicted(Contradiction { key, lost_here, lost_there, garbled, theirs });
        }
        let open = ours.gone_from(&theirs).next().is_some() || theirs.gone_from(&ours).next().is_some();
        if open { Standing::Unsure } else { Standing::Fine }
    }
}

impl Partition {
    /// Writes the versions anew about which this replica and another contradict each other. Returns the writes, to be
    /// sent like any other; none if the contradiction was settled meanwhile.
    ///
    /// # Errors
    /// [`StorageError`] when the present entry cannot be read; nothing is staged then.
    pub fn settle(
        &mut self,
        transaction: &mut Transaction<'_>,
        contradiction: &Contradiction,
    ) -> Result<Vec<Written>, StorageError> {
        let Contradiction { key, lost_here, lost_there, garbled, theirs } = contradiction;
        let before = self.before(transaction.rows, key)?;
        if planted(Plant::DifferenceMergedAsDelete) {
            let mut applied = Applied { ticket: self.next_ticket(), ..Applied::default() };
            let merged = self.merged(transaction.rows, key, &theirs.entry, &theirs.clock, &mut applied)?;
            let mut seen = Clock::new();
            self.stage_merged(transaction, &mut seen, vec![merged], &theirs.clock, &mut applied);
            self.stage_clock(applied.ticket, seen);
            return Ok(Vec::new());
        }
        let now = Held { entry: before.entry, clock: self.clock.clone() };
        let own = |dot: &Dot| now.version(*dot).map(|version| (*dot, version.clone()));
        // Another replica may have found the same, and written it anew already.
        let is_shown = |version: &Version| now.entry.siblings.iter().any(|(_, shown)| shown == version);
        let mut anew: Vec<(Dot, Version)> =
            lost_here.iter().filter(|(_, version)| !is_shown(version)).cloned().collect();
        anew.extend(lost_there.iter().filter_map(own));
        for (dot, version) in garbled {
            let present = own(dot).filter(|(_, own)| own != version);
            anew.extend(present.into_iter().flat_map(|present| [present, (*dot, version.clone())]));
        }
        let mut over: Clock = anew.iter().map(|(dot, _)| *dot).collect();
        if planted(Plant::SettledBesideTheOld) {
            over = Clock::new();
        }
        let mut written = Vec::with_capacity(anew.len());
        for (_, version) in anew {
            let write = Write {
                key: key.clone(),
                version: Some(version),
                context: over.clone(),
                over_all_seen: false,
            };
            written.push(self.write(transaction, write)?);
        }
        Ok(written)
    }
}
