//! A client's write, at its coordinator.

use crate::clock::Clock;
use crate::dot::{Dot, DotRange};
use crate::entry::{Context, Entry, Version, merge};
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::StorageError;

use super::apply::Delta;
use super::{Partition, StagedDots, Ticket, Transaction};

/// What a client wants written.
#[derive(Debug, Clone)]
pub struct Write {
    /// The key.
    pub key: Key,
    /// The new version, or `None` to delete.
    pub version: Option<Version>,
    /// The dots that the write supersedes: those of the client's context, and what was collected for its level.
    pub context: Clock,
    /// Whether it also supersedes everything that this replica has seen (`lww`).
    pub over_all_seen: bool,
}

/// A write that was staged.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its name.
    pub dot: Dot,
    /// Durable here when this is.
    pub ticket: Ticket,
    /// Versions beside which it now stands with another payload: conflicts, if the type is a register.
    pub concurrent: u64,
    /// What the other replicas are sent, at once.
    pub delta: Delta,
}

impl Partition {
    /// Stages a write under a new dot.
    ///
    /// # Errors
    /// [`StorageError`] when the present entry cannot be read; nothing is staged then.
    pub fn write(
        &mut self,
        transaction: &mut Transaction<'_>,
        write: Write,
    ) -> Result<Written, StorageError> {
        let Write { key, version, mut context, over_all_seen } = write;
        let before = self.before(transaction.rows, &key)?;
        if over_all_seen {
            context.join(&self.clock);
            context.join(&before.context);
        }
        let dot = self.mint();
        context.add(dot);
        let theirs = Entry { siblings: version.map(|version| (dot, version)).into_iter().collect(), context };
        let none = Clock::new();
        let merged = merge(
            &before.entry,
            Context { explicit: &before.context, implied: &self.clock },
            &theirs,
            Context { explicit: &theirs.context, implied: &none },
        );
        let ticket = self.next_ticket();
        self.see(transaction, dot, &key);
        let concurrent = merged.concurrent;
        let mut after = Entry { siblings: merged.siblings, context: before.context };
        after.context.join(&theirs.context);
        self.stage_entry(transaction, ticket, &key, before.entry, after);
        self.staged.push_back((ticket, StagedDots::Range(DotRange::single(dot))));
        let mut entry = theirs;
        if planted(Plant::DeltaWithoutContext) {
            entry.context = [dot].into_iter().collect();
        }
        Ok(Written { dot, ticket, concurrent, delta: Delta { key, entry, seen: DotRange::single(dot) } })
    }

    /// The next dot of this replica.
    fn mint(&mut self) -> Dot {
        self.counter += 1;
        Dot { origin: self.origin, counter: self.counter }
    }
}
