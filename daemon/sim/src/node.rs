//! One simulated node: a disk, the kernel's partitions on it, and changes at every stage between staged and reported.
//!
//! ```text
//!   change ──> staged ──> written (readable in storage) ──> synced ──> reported (durable to the kernel)
//! ```
//!
//! A crash takes everything that was not synced but a prefix of what was written.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;
use settle_core::dot::{Epoch, NodeId, Origin};
use settle_core::partition::{Partition, Ticket, Transaction};
use settle_core::plant::{Plant, planted};
use settle_core::segment::{Kept, SegmentId, Segments};
use settle_core::storage::{Batch, Rows, StorageError, Table};
use settle_store::{Disk, SimDisk};

use crate::broken::Broken;
use crate::network::Base;
use crate::oracle::Oracle;
use crate::shape::{Durability, Shape};
use crate::view::View;

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its identity.
    pub id: NodeId,
    /// Its life.
    pub epoch: Epoch,
    /// Whether it runs.
    pub up: bool,
    /// Its disk.
    pub disk: SimDisk,
    /// The log segments on its disk, as they are written.
    segments: Segments,
    /// Those whose records are all reported.
    kept: Kept,
    /// Its replicas; empty while it is down.
    pub partitions: Vec<Partition>,
    /// What clients could read here when it was last looked at, per partition.
    pub views: Vec<View>,
    /// What happened since then.
    pub touched: Touch,
    /// Rises with every report.
    pub tick: u64,
    /// What it remembers of the others, by place.
    pub peers: Vec<Peer>,
    durability: Durability,
    cache_bytes: usize,
    staged: VecDeque<Change>,
    /// The last of a group names the newest log segment as of its commit.
    written: VecDeque<(usize, Ticket, SegmentId)>,
    /// How many of `written` are synced.
    synced: usize,
    waiting: VecDeque<Waiting>,
}

/// What a node may have done to what clients can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Touch {
    /// Nothing.
    #[default]
    Untouched,
    /// Changes were staged or written: nothing may be different.
    Staged,
    /// Commits were reported.
    Reported,
    /// It crashed, or started.
    Restarted,
}

/// What a node remembers of another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    /// Its newest life that was met.
    pub epoch: Option<Epoch>,
    /// Its last echo answer.
    pub base: Base,
}

/// A client that waits for its write.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// The partition's index.
    pub partition: usize,
    /// Kept when this is.
    pub ticket: Ticket,
    /// The key's index.
    pub key: usize,
    /// The write's number.
    pub write: usize,
    /// The client's session.
    pub session: usize,
}

#[derive(Debug)]
struct Change {
    partition: usize,
    ticket: Ticket,
    batch: Batch,
}

impl Node {
    /// A node with an empty disk, not started yet.
    #[must_use]
    pub fn new(place: usize, shape: &Shape) -> Self {
        Self {
            id: NodeId(place as u64 + 1),
            epoch: Epoch(0),
            up: false,
            disk: SimDisk::new(),
            segments: Segments::default(),
            kept: Kept::default(),
            partitions: Vec::new(),
            views: vec![View::default(); shape.partitions],
            touched: Touch::Untouched,
            tick: 0,
            peers: vec![Peer::default(); shape.nodes],
            durability: shape.durability,
            cache_bytes: shape.cache_bytes,
            staged: VecDeque::new(),
            written: VecDeque::new(),
            synced: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Starts: a fresh epoch, durable before anything else, and partitions from what the disk holds.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn start(&mut self, wall_ms: u64, random: u16) -> Result<(), StorageError> {
        let row = Table::Node.row(b"epoch");
        let stored =
            self.disk.get(&row)?.and_then(|bytes| Some(Epoch(u64::from_le_bytes(*bytes.first_chunk()?))));
        self.epoch = match stored {
            Some(stored) if planted(Plant::DotReusedAfterCrash) => stored,
            _ => Epoch::fresh(stored, wall_ms, random),
        };
        let mut batch = Batch::default();
        batch.put(row, Bytes::copy_from_slice(&self.epoch.0.to_le_bytes()));
        self.disk.commit(&[batch], true)?;
        let origin = Origin { node: self.id, epoch: self.epoch };
        let (segments, mut records) = Segments::recover(&self.disk)?;
        self.kept = segments.kept();
        self.segments = segments;
        let open = |index| {
            let id = Oracle::partition_id(index);
            let logged = records.remove(&id).unwrap_or_default();
            let mut partition = Partition::open(id, origin, &self.disk, logged)?;
            partition.set_cache(self.cache_bytes);
            Ok(partition)
        };
        self.partitions = (0..self.views.len()).map(open).collect::<Result<_, StorageError>>()?;
        self.up = true;
        self.tick = 0;
        self.peers.fill(Peer::default());
        self.touch(Touch::Restarted);
        Ok(())
    }

    /// Crashes: of the writes that were not synced, `keep` are left. Clients that wait are told nothing.
    pub fn crash(&mut self, keep: usize) {
        self.disk.crash(keep);
        self.staged.clear();
        self.written.clear();
        self.synced = 0;
        self.waiting.clear();
        self.partitions.clear();
        self.up = false;
    }

    /// Takes note of what happened.
    pub fn touch(&mut self, touch: Touch) {
        self.touched = self.touched.max(touch);
    }

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

    /// A client waits for a write that was just staged.
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
        let round = self.kept.round();
        for index in 0..self.partitions.len() {
            self.change(index, |partition, transaction| Ok(partition.spill(transaction)))?;
        }
        let batch = self.kept.finish(round);
        // Belongs to no partition: reported with a ticket that is reported before.
        self.staged.push_back(Change { partition: 0, ticket: Ticket::default(), batch });
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

    /// Hands the first `count` changes to the disk, as one group.
    ///
    /// # Errors
    /// [`StorageError`]; the node must crash then.
    pub fn write_out(&mut self, count: usize, sync: bool) -> Result<(), StorageError> {
        let count = count.min(self.staged.len());
        let group: Vec<Change> = self.staged.drain(..count).collect();
        let (mut batches, tickets): (Vec<Batch>, Vec<_>) =
            group.into_iter().map(|change| (change.batch, (change.partition, change.ticket, 0))).unzip();
        self.segments.seal(&mut batches);
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
    /// the clients whose writes are kept now.
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
