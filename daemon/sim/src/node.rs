//! One simulated node: a disk, the kernel's partitions on it, and changes at every stage between staged and reported.
//!
//! ```text
//!   change ──> staged ──> written (readable in storage) ──> synced ──> reported (durable to the kernel)
//! ```
//!
//! A crash takes everything that was not synced but a prefix of what was written.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use settle_core::dot::{Epoch, NodeId, Origin};
use settle_core::hlc::{Hlc, HybridClock};
use settle_core::layout::steps::LayoutState;
use settle_core::merkle::Secret;
use settle_core::partition::{Partition, Ticket};
use settle_core::plant::{Plant, planted};
use settle_core::segment::{Kept, SegmentId, Segments};
use settle_core::storage::{Batch, Rows, StorageError, Table};
use settle_store::{Disk, SimDisk};

use crate::network::Base;
use crate::oracle::Oracle;
use crate::route::Route;
use crate::shape::{Durability, Shape};
use crate::view::View;

mod layouts;
mod stages;
mod waiting;

pub use layouts::Layouts;
use stages::Change;
pub use waiting::{Collecting, Quorum, Read, Stage, Waiter, Waiting};

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
    /// The time, for the ages of its log records; in steps, which the kernel takes for seconds.
    pub now: u64,
    /// What it remembers of the others, by place.
    pub peers: Vec<Peer>,
    /// What it knows of layouts, in a cluster whose layout changes.
    pub layouts: Option<Layouts>,
    /// Who holds each partition.
    pub routes: Vec<Rc<Route>>,
    durability: Durability,
    cache_bytes: usize,
    staged: VecDeque<Change>,
    /// The last of a group names the newest log segment as of its commit.
    written: VecDeque<(usize, Ticket, SegmentId)>,
    /// How many of `written` are synced.
    synced: usize,
    waiting: VecDeque<Waiting>,
    /// Its writes that other replicas must hold too.
    pub quorums: Vec<Quorum>,
    /// Its writes at quorum that are not made yet.
    pub collecting: Vec<Collecting>,
    /// Its reads at several replicas.
    pub reads: Vec<Read>,
    stamps: HybridClock,
    /// How far its wall clock is ahead of the slowest one, in milliseconds.
    ahead_ms: u64,
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

impl Node {
    /// A node with an empty disk, not started yet.
    #[must_use]
    pub fn new(place: usize, shape: &Shape) -> Self {
        let route = Rc::new(Route::everywhere(place, shape.nodes));
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
            now: 0,
            peers: vec![Peer::default(); shape.nodes],
            layouts: None,
            routes: std::iter::repeat_n(route, shape.partitions).collect(),
            durability: shape.durability,
            cache_bytes: shape.cache_bytes,
            staged: VecDeque::new(),
            written: VecDeque::new(),
            synced: 0,
            waiting: VecDeque::new(),
            quorums: Vec::new(),
            collecting: Vec::new(),
            reads: Vec::new(),
            stamps: HybridClock::default(),
            ahead_ms: shape.ahead_ms.get(place).copied().unwrap_or_default(),
        }
    }

    /// Starts: a fresh epoch, durable before anything else, and partitions from what the disk holds.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn start(
        &mut self,
        wall_ms: u64,
        random: u16,
        first: Option<LayoutState>,
    ) -> Result<(), StorageError> {
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
            partition.set_secret(Secret::new(&[7; 32]));
            Ok(partition)
        };
        self.partitions = (0..self.views.len()).map(open).collect::<Result<_, StorageError>>()?;
        self.up = true;
        self.tick = 0;
        self.stamps = HybridClock::default();
        self.peers.fill(Peer::default());
        self.recall(first)?;
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
        self.quorums.clear();
        self.collecting.clear();
        self.reads.clear();
        self.partitions.clear();
        if let Some(layouts) = &mut self.layouts {
            layouts.proposing = None;
        }
        self.up = false;
    }

    /// Takes note of what happened.
    pub fn touch(&mut self, touch: Touch) {
        self.touched = self.touched.max(touch);
    }

    /// Its wall clock at `now`, in milliseconds.
    #[must_use]
    pub const fn wall_ms(&self, now: u64) -> u64 {
        1_000 + now + self.ahead_ms
    }

    /// A stamp for a write at `now`.
    pub fn stamp(&mut self, now: u64) -> Hlc {
        let wall_ms = self.wall_ms(now);
        self.stamps.tick(wall_ms)
    }

    /// Takes note of a stamp from elsewhere; one too far ahead is not adopted.
    pub fn observe(&mut self, stamp: Hlc, now: u64) {
        let wall_ms = self.wall_ms(now);
        let _ = self.stamps.observe(stamp, wall_ms);
    }
}
