//! Changes on their way to the disk, and who waits for them.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use settle_core::partition::{Dropping, Partition, Ticket, Transaction};
use settle_core::storage::{Batch, Rows, StorageError, Table};
use settle_store::Disk;

use crate::broken::Broken;
use crate::oracle::Oracle;
use crate::shape::Durability;

use super::{Node, Touch, Waiting};

/// Rows of a dropped partition that are removed at once.
const DROPPED_ROWS: usize = 2;

/// A change that is not handed to the disk yet.
#[derive(Debug)]
pub(super) struct Change {
    partition: usize,
    ticket: Ticket,
    batch: Batch,
}

impl Node {
    /// Runs a change of one partition and queues its batch.
    ///
    /// # Errors
    /// [`Broken`] when storage fails.
    pub fn change<T>(
        &mut self,
        partition: usize,
        run: impl FnOnce(&mut Partition, &mut Transaction<'_>) -> Result<T, StorageError>,
    ) -> Result<T, Broken> {
        let Some(replica) = self.partitions.get_mut(partition) else {
            return Err(Broken::new("simulator", "a node that is down was asked to change".to_owned()));
        };
        let ticket = replica.ticket();
        let mut batch = Batch::default();
        let done = run(replica, &mut Transaction { rows: &self.disk, batch: &mut batch })?;
        if replica.ticket() != ticket {
            self.staged.push_back(Change { partition, ticket: replica.ticket(), batch });
        } else if !batch.is_empty() {
            return Err(Broken::new("simulator", "rows were changed without a ticket".to_owned()));
        }
        self.touch(Touch::Staged);
        Ok(done)
    }

    /// Somebody waits for what was just staged.
    pub fn wait(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// How many changes are not written, and how many not reported.
    #[must_use]
    pub fn backlog(&self) -> (usize, usize) {
        (self.staged.len(), self.written.len())
    }

    /// A round of cleaning: gives what is left in old log segments rows of its own, and removes the segments.
    ///
    /// # Errors
    /// [`Broken`] when storage fails.
    pub fn spill(&mut self) -> Result<(), Broken> {
        let (round, now) = (self.kept.round(), self.now);
        for index in 0..self.partitions.len() {
            self.change(index, |partition, transaction| Ok(partition.spill(transaction, now)))?;
        }
        let batch = self.kept.finish(round);
        // Belongs to no partition: reported with a ticket that is reported before.
        self.staged.push_back(Change { partition: 0, ticket: Ticket::default(), batch });
        let kept = self.kept;
        for index in 0..self.partitions.len() {
            let dropping = self.partitions.get(index).is_some_and(Partition::is_dropping);
            while dropping
                && let Dropping::Working(_) = self.change(index, |partition, transaction| {
                    partition.go_on_dropping(transaction, &kept, DROPPED_ROWS)
                })?
            {}
        }
        Ok(())
    }

    /// How many log segments its disk holds.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn segments_stored(&self) -> Result<usize, StorageError> {
        let mut count = 0;
        self.disk.scan(&[Table::Segment as u8], &[Table::Segment as u8 + 1], &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// How many rows its disk holds of a partition.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn rows_of(&self, index: usize) -> Result<usize, StorageError> {
        let id = Oracle::partition_id(index);
        let tables =
            [Table::Clock, Table::Entry, Table::Log, Table::Residue, Table::Diverged, Table::Dropping];
        let mut count = 0;
        for table in tables {
            self.disk.scan(&table.prefix(id), &table.end(id), &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })?;
        }
        Ok(count)
    }

    /// Hands the first `count` changes to the disk, as one group.
    ///
    /// # Errors
    /// [`StorageError`]; the node must crash then.
    pub fn write_out(&mut self, count: usize, sync: bool) -> Result<(), StorageError> {
        let count = count.min(self.staged.len());
        let group: Vec<Change> = self.staged.drain(..count).collect();
        let (mut batches, tickets): (Vec<Batch>, Vec<_>) =
            group.into_iter().map(|change| (change.batch, (change.partition, change.ticket, 0))).unzip();
        self.segments.seal(&mut batches, self.now);
        self.disk.commit(&batches, sync)?;
        self.written.extend(tickets);
        if let Some((_, _, segment)) = self.written.back_mut() {
            *segment = self.segments.newest();
        }
        if sync {
            self.synced = self.written.len();
        }
        self.touch(Touch::Staged);
        Ok(())
    }

    /// Syncs what was written.
    ///
    /// # Errors
    /// [`StorageError`]; the node must crash then.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.disk.sync()?;
        self.synced = self.written.len();
        Ok(())
    }

    /// Reports up to `count` written changes to the kernel, under [`Durability::Always`] synced ones only; returns
    /// those who need not wait any more.
    pub fn report(&mut self, count: usize) -> Vec<Waiting> {
        let ready = if self.durability == Durability::Always { self.synced } else { self.written.len() };
        for (index, ticket, segment) in self.written.drain(..count.min(ready)) {
            self.tick += 1;
            self.synced = self.synced.saturating_sub(1);
            if let Some(partition) = self.partitions.get_mut(index) {
                partition.committed(ticket, self.tick);
            }
            self.kept.reported(segment);
            self.touched = self.touched.max(Touch::Reported);
        }
        let unreported = &self.written;
        let staged = &self.staged;
        let open = |waiting: &Waiting| {
            let same =
                |partition: usize, ticket: Ticket| partition == waiting.partition && ticket == waiting.ticket;
            unreported.iter().any(|(partition, ticket, _)| same(*partition, *ticket))
                || staged.iter().any(|change| same(change.partition, change.ticket))
        };
        let (still, kept): (VecDeque<_>, VecDeque<_>) = self.waiting.drain(..).partition(open);
        self.waiting = still;
        kept.into()
    }

    /// Writes, syncs and reports everything.
    ///
    /// # Errors
    /// [`StorageError`]; the node must crash then.
    pub fn flush(&mut self) -> Result<Vec<Waiting>, StorageError> {
        self.write_out(usize::MAX, self.durability == Durability::Always)?;
        if self.durability == Durability::Always && self.synced < self.written.len() {
            self.sync()?;
        }
        Ok(self.report(usize::MAX))
    }
}
