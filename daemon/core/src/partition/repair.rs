//! Read repair: what a read at several replicas found out is written to those that lack it.
//!
//! A repair carries the siblings that the merge of the answers shows, and what the merge knows of this key: everything
//! that any of the replicas has seen. The receiver merges them as it merges an entry of a page, takes that knowledge over
//! as explicit context of this key, and marks as seen the siblings that it has got, and nothing else.
//!
//! # What may be claimed, and what must be
//!
//! *For the key, all of it.* A replica whose clock or explicit context holds a dot of the key shows that dot or knows that
//! it was superseded; the dots of other keys say nothing here. That is true of each answer, and merging keeps it true. So
//! an old sibling of the receiver that others know, and that the merge does not show, is superseded, and one that nobody
//! else has seen is kept.
//!
//! *For the partition, only the siblings carried.* The rest of what the answering replicas have seen came with entries of
//! other keys, which this message does not carry. A receiver that joined their clocks would claim writes that it does not
//! have, and nobody would send them again.
//!
//! *Not less for the key, either.* It would be enough, to drop what the receiver shows too much, to claim those dots alone.
//! But a dot that is marked as seen settles whatever it superseded: the replica takes no delta of it any more, and no
//! exchange brings it. If a sibling came without the knowledge of what it superseded, and a late delta of that came after
//! it, the replica would show both for ever while its clock says that nothing is missing.

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::dot::Dot;
use crate::entry::Entry;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::StorageError;

use super::apply::Applied;
use super::{Partition, Transaction};

/// The state of a key on its way to a replica that lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The key.
    pub key: Key,
    /// What the replicas show together, with all that any of them has seen as explicit context.
    pub entry: Entry,
}

impl Partition {
    /// Merges what a read found out. Says what that did, and whether it did anything: what is pending is not repaired
    /// again, and durable when [`Applied::ticket`] is.
    ///
    /// # Errors
    /// [`StorageError`] when the present entry cannot be read; nothing is staged then.
    pub fn repair(
        &mut self,
        transaction: &mut Transaction<'_>,
        repair: &Repair,
    ) -> Result<(Applied, bool), StorageError> {
        let before = self.before(transaction.rows, &repair.key)?;
        let (theirs, none) = (&repair.entry, Clock::new());
        let merged = self.merge_into(&before, theirs, &none);
        let mut applied = Applied {
            ticket: self.ticket,
            stamp_max: theirs.stamp_max(),
            concurrent: merged.concurrent,
            ..Applied::default()
        };
        // What a full exchange in progress knows is not durable: only the entry's own context counts.
        let unknown = theirs.context.minus(&self.clock).minus(&before.entry.context);
        if !merged.changed && unknown.is_empty() {
            return Ok((applied, false));
        }
        let mut after = Entry { siblings: merged.siblings, context: before.context };
        if planted(Plant::RepairReplaces) {
            after.siblings.clone_from(&theirs.siblings);
        }
        after.context.join(&theirs.context);
        applied.ticket = self.next_ticket();
        let mut seen = Clock::new();
        let dots: Vec<Dot> = after.dots().collect();
        for dot in dots {
            if self.see(transaction, dot, &repair.key) {
                seen.add(dot);
            }
        }
        applied.fresh = seen.count();
        if planted(Plant::RepairJoinsClock) {
            seen.join(&theirs.context.minus(&self.clock));
            self.clock.join(&theirs.context);
        }
        self.stage_entry(transaction, applied.ticket, &repair.key, before.entry, after);
        self.stage_clock(applied.ticket, seen);
        Ok((applied, true))
    }
}

impl Encode for Repair {
    fn encode(&self, out: &mut Vec<u8>) {
        self.key.encode(out);
        self.entry.encode(out);
    }
}

impl Decode for Repair {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let repair = Self { key: Key::decode(input)?, entry: Entry::decode(input)? };
        // A sibling that its context does not cover could never be merged away again.
        if !repair.entry.dots().all(|dot| repair.entry.context.has(dot)) {
            return Err(DecodeError::Invalid("repair: a version that its context does not cover"));
        }
        Ok(repair)
    }
}
