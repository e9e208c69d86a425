//! Deltas from other replicas: applied in any order, any number of times.

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::dot::DotRange;
use crate::entry::{Context, Entry, Merged, merge};
use crate::hlc::Hlc;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::StorageError;

use super::{Before, Partition, StagedDots, Ticket, Transaction};

/// One write on its way to another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The key.
    pub key: Key,
    /// The versions written, with everything that the write supersedes as explicit context.
    pub entry: Entry,
    /// The dots of the write: seen once the delta is applied, also where a delete leaves no version.
    pub seen: DotRange,
}

/// What applying did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Everything applied is durable when this is.
    pub ticket: Ticket,
    /// Writes that were new here.
    pub fresh: u64,
    /// Conflicting pairs that came up (see [`Merged::concurrent`]).
    pub concurrent: u64,
    /// The highest stamp among the versions received.
    pub stamp_max: Hlc,
    /// Of a page, the new writes and the conflicts of each key (a key may come several times); empty for a delta.
    pub of_keys: Vec<(Key, u64, u64)>,
}

impl Partition {
    /// Applies a delta.
    ///
    /// # Errors
    /// [`StorageError`] when the present entry cannot be read; nothing is staged then.
    pub fn apply(
        &mut self,
        transaction: &mut Transaction<'_>,
        delta: &Delta,
    ) -> Result<Applied, StorageError> {
        let stamp_max = delta.entry.stamp_max();
        // A dot that was seen has been kept or superseded, and so has its context: nothing is left to do.
        if delta.seen.dots().all(|dot| self.clock.has(dot)) && !planted(Plant::MergeWithoutImpliedContext) {
            return Ok(Applied { ticket: self.ticket, stamp_max, ..Applied::default() });
        }
        let before = self.before(transaction.rows, &delta.key)?;
        let none = Clock::new();
        let merged = self.merge_into(&before, &delta.entry, &none);
        let ticket = self.next_ticket();
        let mut fresh = 0;
        for dot in delta.seen.dots() {
            fresh += u64::from(self.see(transaction, dot, &delta.key));
        }
        let concurrent = merged.concurrent;
        let mut after = Entry { siblings: merged.siblings, context: before.context };
        after.context.join(&delta.entry.context);
        self.stage_entry(transaction, ticket, &delta.key, before.entry, after);
        self.staged.push_back((ticket, StagedDots::Range(delta.seen)));
        Ok(Applied { ticket, fresh, concurrent, stamp_max, of_keys: Vec::new() })
    }

    /// Merges an entry from elsewhere, whose context is its explicit one and `implied`, into one of this replica,
    /// whose context is its explicit one and the whole clock.
    pub(super) fn merge_into(&self, before: &Before, theirs: &Entry, implied: &Clock) -> Merged {
        let none = Clock::new();
        let own = if planted(Plant::MergeWithoutImpliedContext) { &none } else { &self.clock };
        let my_context = Context { explicit: &before.context, implied: own };
        merge(&before.entry, my_context, theirs, Context { explicit: &theirs.context, implied })
    }
}

impl Encode for Delta {
    fn encode(&self, out: &mut Vec<u8>) {
        let payloads: usize = self.entry.siblings.iter().map(|(_, version)| version.payload.len() + 48).sum();
        out.reserve(self.key.as_bytes().len() + payloads + 128);
        self.key.encode(out);
        self.seen.encode(out);
        self.entry.encode(out);
    }
}

impl Decode for Delta {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let key = Key::decode(input)?;
        let seen = DotRange::decode(input)?;
        let entry = Entry::decode(input)?;
        // A sibling that is kept but not marked as seen would break every promise of the clock.
        if !entry.dots().all(|dot| seen.holds(dot)) {
            return Err(DecodeError::Invalid("delta: a version under a dot of another write"));
        }
        // A write has a dot for each version, and one if it deletes: each becomes a log record with the key.
        if seen.last - seen.first > entry.siblings.len().saturating_sub(1) as u64 {
            return Err(DecodeError::Invalid("delta: more dots than versions"));
        }
        Ok(Self { key, entry, seen })
    }
}
