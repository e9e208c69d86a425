//! Shrinking back: log records that every replica has, and explicit contexts that the clock has caught up with.

use std::ops::Bound;

use crate::clock::Clock;
use crate::dot::{DotRange, NodeId};
use crate::entry::Entry;
use crate::key::Key;
use crate::storage::StorageError;

use super::{Partition, Ticket, Transaction};

impl Partition {
    /// Removes log records of dots that are durable here and, by their last word, at every one of the `others`: of those
    /// that have rows of their own up to `rows_max`, and all others, which cost nothing. Returns the ticket of the change,
    /// if there was any.
    pub fn prune(
        &mut self,
        transaction: &mut Transaction<'_>,
        others: &[NodeId],
        rows_max: usize,
    ) -> Option<Ticket> {
        if self.log.dots().is_empty() || others.iter().any(|peer| self.last_told(*peer).is_none()) {
            return None;
        }
        let held = self.held_by_all(others);
        let mut removed = held.minus(self.log.spilled());
        let mut left = rows_max as u64;
        for range in held.intersection(self.log.spilled()).ranges() {
            if left == 0 {
                break;
            }
            let count = left.min(range.last - range.first + 1);
            removed.add_range(DotRange { last: range.first + count - 1, ..range });
            left -= count;
        }
        if removed.is_empty() {
            return None;
        }
        self.log.remove(transaction.batch, &removed);
        self.checkpoint(transaction);
        Some(self.next_ticket())
    }

    /// Gives log records that were durable at the last call, and were not pruned since, rows of their own: after it, and
    /// once its change is durable, the segments that were reported durable before the last call may be removed. It is
    /// `now`, in seconds since 1970; from these calls records have their ages. Returns the ticket of the change, if there
    /// was any.
    pub fn spill(&mut self, transaction: &mut Transaction<'_>, now: u64) -> Option<Ticket> {
        let ticket = Ticket(self.ticket.0 + 1);
        self.log.spill(transaction.batch, ticket, now).then(|| self.next_ticket())
    }

    /// The logged dots that are durable here and, by their last word, at every one of the `others`.
    fn held_by_all(&self, others: &[NodeId]) -> Clock {
        let told = others.iter().filter_map(|peer| self.last_told(*peer));
        told.fold(self.log.dots().intersection(&self.durable), |held, told| held.intersection(told))
    }

    /// Looks at up to `keys_max` entries with an explicit context, and rewrites those whose context the clock covers
    /// by now; a deleted key vanishes with it. Returns the ticket of the change, if there was any.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read; nothing is staged then.
    pub fn sweep(
        &mut self,
        transaction: &mut Transaction<'_>,
        keys_max: usize,
    ) -> Result<Option<Ticket>, StorageError> {
        if self.residue.is_empty() {
            return Ok(None);
        }
        let start = self.swept.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let keys: Vec<Key> =
            self.residue.range::<Key, _>((start, Bound::Unbounded)).take(keys_max).cloned().collect();
        self.swept = if keys.len() < keys_max { None } else { keys.last().cloned() };
        let mut changes = Vec::new();
        for key in keys {
            let before = self.before(transaction.rows, &key)?;
            if before.context.is_empty() {
                let after = Entry { siblings: before.entry.siblings.clone(), context: before.context };
                changes.push((key, before.entry, after));
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let ticket = self.next_ticket();
        for (key, before, after) in changes {
            self.stage_entry(transaction, ticket, &key, before, after);
        }
        Ok(Some(ticket))
    }
}
