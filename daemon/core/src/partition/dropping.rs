//! Dropping a partition that this node does not hold any more.
//!
//! ```text
//!   begin_drop ──> mark durable ──> rows removed, piece by piece ──> log segments gone ──> mark removed
//! ```
//!
//! From the first moment on the partition is as if it were new, except that its counter goes on: a dot is never minted
//! twice. What storage still holds of it is not looked at; a durable mark keeps it so after a crash, and the removal goes on
//! at the next start. The mark stays until no log segment has records of the partition either, for these would be taken
//! for writes that it has seen.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::dot::NodeId;
use crate::key::PartitionId;
use crate::plant::{Plant, planted};
use crate::segment::{Kept, SegmentId};
use crate::storage::{Rows, StorageError, Table};

use super::log::Log;
use super::overlay::Overlay;
use super::{Partition, Ticket, Transaction};

/// What a dropped partition may have left.
pub(super) const TABLES: [Table; 5] =
    [Table::Entry, Table::Residue, Table::Log, Table::Diverged, Table::Clock];

/// How far a removal is.
#[derive(Debug)]
pub(super) enum Removal {
    /// The mark is on its way.
    Marking(Ticket),
    /// Rows go.
    Rows {
        /// Those of this table of [`TABLES`], and of all that follow.
        table: usize,
        /// From this one on; empty: all of the table.
        from: Bytes,
    },
    /// All rows are gone; segments up to this one may have log records.
    Segments(SegmentId),
    /// The mark is being removed.
    Ending(Ticket),
}

/// What became of a call of [`Partition::go_on_dropping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropping {
    /// Something was staged: call again.
    Working(Ticket),
    /// Something must become durable, or segments must be removed, before it goes on.
    Waiting,
    /// Nothing of it is left; or nothing was being dropped.
    Done,
}

impl Partition {
    /// Whether it holds nothing, not even knowledge of what was superseded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clock.is_empty() && self.residue.is_empty() && !self.is_dropping()
    }

    /// Whether every one of `new`, by its last word on its present connection, has durably all that this replica has. False
    /// while anything here is not durable. Then it may be dropped, if this node coordinates no writes of it any more.
    #[must_use]
    pub fn may_be_dropped(&self, new: &[NodeId]) -> bool {
        let covers = |node: &NodeId| self.watermark(*node).is_some_and(|told| told.covers(&self.clock));
        let covered =
            if planted(Plant::DroppedTooEarly) { new.iter().any(covers) } else { new.iter().all(covers) };
        (covered || self.clock.is_empty()) && self.reported == self.ticket
    }

    /// Begins to drop it: it is empty at once, and marked durably with the ticket that is returned. From now on the
    /// caller stages nothing else here until [`Partition::is_dropping`] is false again.
    pub fn begin_drop(&mut self, transaction: &mut Transaction<'_>) -> Ticket {
        if !planted(Plant::DropUnmarked) {
            transaction.batch.put(mark(self.id), Bytes::new());
        }
        let ticket = self.next_ticket();
        self.empty();
        self.removal = Some(Removal::Marking(ticket));
        ticket
    }

    /// Whether it is being dropped: nothing else may be staged, it answers no questions, and nothing is told of it.
    #[must_use]
    pub const fn is_dropping(&self) -> bool {
        self.removal.is_some()
    }

    /// Goes on with dropping, also after a start: removes up to `rows_max` rows, or the mark. `kept` is the node's: it
    /// tells which log segments are gone, by removals that were queued before.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read; nothing is staged then.
    pub fn go_on_dropping(
        &mut self,
        transaction: &mut Transaction<'_>,
        kept: &Kept,
        rows_max: usize,
    ) -> Result<Dropping, StorageError> {
        if let Some(Removal::Marking(_)) = self.removal.take_if(|removal| removal.is_durable(self.reported)) {
            self.removal = Some(Removal::Rows { table: 0, from: Bytes::new() });
        }
        if let Some(Removal::Rows { table, from }) = &self.removal {
            let (table, from) = (*table, from.clone());
            if let Some(next) = self.remove_rows(transaction, table, from, rows_max)? {
                self.removal = Some(next);
                return Ok(Dropping::Working(self.next_ticket()));
            }
            self.removal = Some(Removal::Segments(kept.newest()));
        }
        match self.removal {
            Some(Removal::Segments(upto)) if kept.has_removed(upto) || planted(Plant::MarkRemovedEarly) => {
                transaction.batch.remove(mark(self.id));
                let ticket = self.next_ticket();
                self.removal = Some(Removal::Ending(ticket));
                Ok(Dropping::Working(ticket))
            }
            Some(Removal::Ending(ticket)) if ticket <= self.reported => {
                self.removal = None;
                Ok(Dropping::Done)
            }
            Some(_) => Ok(Dropping::Waiting),
            None => Ok(Dropping::Done),
        }
    }

    /// Removes up to `rows_max` rows from `from` on; returns where to go on, unless there were none.
    fn remove_rows(
        &self,
        transaction: &mut Transaction<'_>,
        first: usize,
        mut from: Bytes,
        rows_max: usize,
    ) -> Result<Option<Removal>, StorageError> {
        for (table, of) in TABLES.iter().enumerate().skip(first) {
            let start = if from.is_empty() { Bytes::copy_from_slice(&of.prefix(self.id)) } else { from };
            let mut rows = Vec::new();
            transaction.rows.scan(&start, &of.end(self.id), &mut |row, _| {
                rows.push(Bytes::copy_from_slice(row));
                if rows.len() < rows_max.max(1) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if let Some(last) = rows.last() {
                // The smallest name above it: what is removed by then need not be passed again.
                let from = Bytes::from([last.as_ref(), &[0]].concat());
                rows.into_iter().for_each(|row| transaction.batch.remove(row));
                return Ok(Some(Removal::Rows { table, from }));
            }
            from = Bytes::new();
        }
        Ok(None)
    }

    /// Becomes as if new; the counter goes on, and tickets do.
    fn empty(&mut self) {
        if planted(Plant::CounterRestarted) {
            self.counter = 0;
        }
        (self.clock, self.durable) = Default::default();
        self.staged.clear();
        self.overlay = Overlay::default();
        self.cache.get_mut().clear();
        self.residue.clear();
        self.swept = None;
        self.log = Log::empty(self.id);
        self.diverged.clear();
        self.peers.clear();
        self.pull = None;
        self.survey.empty();
        self.scrub = None;
    }
}

impl Removal {
    fn is_durable(&self, reported: Ticket) -> bool {
        matches!(self, Self::Marking(ticket) if *ticket <= reported)
    }
}

fn mark(id: PartitionId) -> Bytes {
    Bytes::copy_from_slice(&Table::Dropping.prefix(id))
}

/// The removal that a crash has interrupted, if there is one.
pub(super) fn stored(id: PartitionId, rows: &dyn Rows) -> Result<Option<Removal>, StorageError> {
    let marked = rows.get(&mark(id))?.is_some();
    Ok(marked.then(|| Removal::Rows { table: 0, from: Bytes::new() }))
}
