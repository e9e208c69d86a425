//! Shrinking back: log records that every replica has, and explicit contexts that the clock has caught up with.

use std::ops::{Bound, ControlFlow};

use crate::clock::Clock;
use crate::dot::{Dot, DotRange, NodeId};
use crate::entry::Entry;
use crate::key::Key;
use crate::storage::{StorageError, log_row};

use super::{Partition, Ticket, Transaction};

impl Partition {
    /// Removes up to `rows_max` log records of dots that are durable here and, by their last word, at every one of
    /// the `others`. Returns the ticket of the change, if there was any.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read; nothing is staged then.
    pub fn prune(
        &mut self,
        transaction: &mut Transaction<'_>,
        others: &[NodeId],
        rows_max: usize,
    ) -> Result<Option<Ticket>, StorageError> {
        if self.log_records == 0 || others.iter().any(|peer| self.watermark(*peer).is_none()) {
            return Ok(None);
        }
        let mut removed = Vec::new();
        let mut pruned = Vec::new();
        // Also what a staged change removes: storage may still show those rows.
        let unpruned = self.held_by_all(others).minus(&self.log_pruned);
        for range in unpruned.ranges() {
            if removed.len() >= rows_max {
                break;
            }
            let row = |counter| log_row(self.id, Dot { origin: range.origin, counter });
            let mut last = range.last;
            transaction.rows.scan(&row(range.first), &row(range.last + 1), &mut |name, _| {
                removed.push(bytes::Bytes::copy_from_slice(name));
                if removed.len() < rows_max {
                    return ControlFlow::Continue(());
                }
                last = crate::storage::log_dot(name).map_or(range.first, |dot| dot.counter);
                ControlFlow::Break(())
            })?;
            pruned.push(DotRange { last, ..range });
        }
        for range in pruned {
            self.log_pruned.add_range(range);
        }
        if removed.is_empty() {
            return Ok(None);
        }
        self.log_records = self.log_records.saturating_sub(removed.len() as u64);
        for row in removed {
            transaction.batch.remove(row);
        }
        self.checkpoint(transaction);
        Ok(Some(self.next_ticket()))
    }

    /// The dots that are durable here and, by their last word, at every one of the `others`.
    fn held_by_all(&self, others: &[NodeId]) -> Clock {
        let mut held = self.durable.clone();
        for told in others.iter().filter_map(|peer| self.watermark(*peer)) {
            held = held.minus(&held.minus(told));
        }
        held
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
