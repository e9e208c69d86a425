//! A node: its partitions, its storage, its peers, and what becomes of a change.
//!
//! Client requests enter through [`Node::write`](mod@write) and [`Node::read`](mod@read), peers' frames through
//! [`crate::peer::listen`], background work through [`crate::worker`]; all of them end in [`Node::change`].

pub(crate) mod commit;
pub(crate) mod gather;
pub(crate) mod jobs;
pub(crate) mod layout;
pub(crate) mod members;
mod nearest;
pub(crate) mod pace;
pub(crate) mod propose;
pub(crate) mod quorum;
mod read;
mod repair;
pub(crate) mod route;
pub(crate) mod sets;
mod status;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use settle_core::dot::Origin;
use settle_core::hlc::{Hlc, HybridClock};
use settle_core::key::PartitionId;
use settle_core::layout::steps::{Heard, LayoutState, Position};
use settle_core::partition::{Moment, Partition, Ticket, Transaction};
use settle_core::roster::Roster;
use settle_core::segment::{Kept, Records};
use settle_core::storage::{Batch, StorageError};
use settle_service::admin::Readiness;
use settle_service::reload::Live;
use settle_store::{Committer, Engine, Refused};
use tokio::sync::{Notify, Semaphore};

use crate::clock::{self, Steady};
use crate::config::Config;
use crate::metrics::NodeMetrics;
use crate::peer::Peer;

use commit::{Staged, Waiter};
use jobs::Jobs;
use pace::Pace;
use route::Routes;

pub(crate) use read::{ReadError, ReadRequest};
pub(crate) use write::{WriteError, WriteRequest};

/// The parts that `/readyz` names.
pub(crate) mod part {
    /// Enough members are known.
    pub(crate) const LAYOUT: &str = "layout";
    /// Writes reach the disk.
    pub(crate) const STORAGE: &str = "storage";
}

/// One replica process.
pub(crate) struct Node {
    /// Its configuration; the part that may change does so under its users.
    pub(crate) config: Live<Config>,
    /// Its identity and the epoch of this start.
    pub(crate) origin: Origin,
    /// When this process began, for what was never proven.
    pub(crate) started: Moment,
    /// The clock of log records' ages.
    pub(crate) steady: Steady,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: NodeMetrics,
    pub(crate) engine: Arc<Engine>,
    partitions: Vec<Mutex<Partition>>,
    committer: Committer<Staged>,
    /// The log segments whose records are all reported durable; see [`crate::worker::upkeep`].
    segments: Mutex<Kept>,
    /// Rises with every change of any durable clock; see [`crate::worker::echo`].
    tick: AtomicU64,
    hybrid: Mutex<HybridClock>,
    roster: ArcSwap<Roster>,
    /// `None` until the cluster is born.
    layout: ArcSwapOption<LayoutState>,
    /// Held while the layout changes, until that is durable and in effect.
    changing_layout: tokio::sync::Mutex<()>,
    /// How far other nodes are with layouts, as they told.
    heard_layouts: Mutex<Heard>,
    /// Told when a step of a layout change may have become possible; see [`crate::worker::steps`].
    pub(crate) layout_moved: Notify,
    /// Follows from `layout` and `peers`.
    routes: ArcSwap<Routes>,
    /// What routes were before, as far as requests may still hold them.
    older_routes: Mutex<Vec<(Position, Weak<Routes>)>>,
    /// The partitions that a full exchange is filling; see [`Node::begin_full`].
    filling: Mutex<BTreeSet<PartitionId>>,
    /// How many more repairs may go on in the background; see [`mod@repair`].
    repairing: Arc<Semaphore>,
    /// What operators asked to be repaired.
    pub(crate) jobs: Jobs,
    /// How fast what was missed is fetched.
    pub(crate) pace: Pace,
    /// Held while a member is admitted.
    admitting: Mutex<()>,
    peers: ArcSwap<Vec<Arc<Peer>>>,
    /// Why this process must not run on, if so.
    must_stop: OnceLock<String>,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// Nothing was staged: too much waits for the disk.
    #[error("writes arrive faster than the disk takes them")]
    Overloaded,
    /// Storage failed; whether the change took effect is unknown if it failed while committing.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Closing,
    /// The partition has left this node.
    #[error("this node is dropping partition {}, which others hold by now", .0.0)]
    Dropping(PartitionId),
}

/// What a node is made of.
pub(crate) struct Parts {
    pub(crate) config: Live<Config>,
    pub(crate) origin: Origin,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: NodeMetrics,
    pub(crate) engine: Arc<Engine>,
    pub(crate) committer: Committer<Staged>,
    pub(crate) steady: Steady,
    pub(crate) roster: Roster,
    pub(crate) layout: Option<LayoutState>,
    /// The records in log segments, and which segments they are.
    pub(crate) logged: Records,
    pub(crate) kept: Kept,
}

impl Node {
    /// Recovers every partition from storage.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub(crate) fn open(mut parts: Parts) -> Result<Self, StorageError> {
        let secret = parts.config.load().boot.cluster.tree_secret();
        let (count, cache_bytes) = {
            let boot = &parts.config.load().boot;
            let share = entry_cache_bytes(boot.cache_bytes) / u64::from(boot.cluster.partitions.max(1));
            (boot.cluster.partitions, usize::try_from(share).unwrap_or(usize::MAX))
        };
        let mut partitions = Vec::new();
        for id in PartitionId::each(count) {
            let logged = parts.logged.remove(&id).unwrap_or_default();
            let mut partition = Partition::open(id, parts.origin, &*parts.engine, logged)?;
            partition.set_cache(cache_bytes);
            partition.set_secret(secret);
            partitions.push(Mutex::new(partition));
        }
        let node = Self {
            config: parts.config,
            origin: parts.origin,
            started: clock::now(),
            steady: parts.steady,
            readiness: parts.readiness,
            metrics: parts.metrics,
            engine: parts.engine,
            partitions,
            committer: parts.committer,
            segments: Mutex::new(parts.kept),
            // Never 0: an echo since 0 asks for everything.
            tick: AtomicU64::new(1),
            hybrid: Mutex::new(HybridClock::default()),
            roster: ArcSwap::from_pointee(parts.roster),
            layout: ArcSwapOption::from(parts.layout.map(Arc::new)),
            changing_layout: tokio::sync::Mutex::default(),
            heard_layouts: Mutex::default(),
            layout_moved: Notify::new(),
            routes: ArcSwap::from_pointee(Routes::default()),
            older_routes: Mutex::default(),
            filling: Mutex::default(),
            repairing: Arc::new(Semaphore::new(repair::BACKGROUND_MAX)),
            jobs: Jobs::default(),
            pace: Pace::default(),
            admitting: Mutex::new(()),
            peers: ArcSwap::from_pointee(Vec::new()),
            must_stop: OnceLock::new(),
        };
        node.reroute();
        Ok(node)
    }

    /// How many partitions the cluster has.
    pub(crate) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// Every partition's number.
    pub(crate) fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        PartitionId::each(self.partition_count())
    }

    /// A partition, locked; `None` for a number that this cluster does not have. The lock is held for memory
    /// operations and single row reads only, never across an await.
    pub(crate) fn partition(&self, id: PartitionId) -> Option<MutexGuard<'_, Partition>> {
        let partition = self.partitions.get(usize::from(id.0))?;
        Some(partition.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `change` on a partition and queues what it staged, in the order of the partition's lock.
    pub(crate) fn change<T>(
        &self,
        id: PartitionId,
        change: impl FnOnce(&mut Partition, &mut Transaction<'_>) -> Result<T, StorageError>,
        waiter: impl FnOnce(&T) -> Waiter,
    ) -> Result<T, ChangeError> {
        self.change_unless(id, Partition::is_dropping, change, waiter)
    }

    /// The same for what begins to drop a partition, and goes on with it.
    pub(crate) fn change_dropping<T>(
        &self,
        id: PartitionId,
        change: impl FnOnce(&mut Partition, &mut Transaction<'_>) -> Result<T, StorageError>,
    ) -> Result<T, ChangeError> {
        self.change_unless(id, |_| false, change, |_| Waiter::Nobody)
    }

    fn change_unless<T>(
        &self,
        id: PartitionId,
        is_refused: impl FnOnce(&Partition) -> bool,
        change: impl FnOnce(&mut Partition, &mut Transaction<'_>) -> Result<T, StorageError>,
        waiter: impl FnOnce(&T) -> Waiter,
    ) -> Result<T, ChangeError> {
        let unknown = || StorageError::Io(format!("partition {} does not exist here", id.0));
        let mut partition = self.partition(id).ok_or_else(unknown)?;
        if is_refused(&partition) {
            return Err(ChangeError::Dropping(id));
        }
        // Asked before anything is staged: what is staged must be queued.
        self.committer.ready()?;
        let mut batch = Batch::default();
        let done = change(&mut partition, &mut Transaction { rows: &*self.engine, batch: &mut batch })?;
        let waiter = waiter(&done);
        if batch.is_empty() && matches!(waiter, Waiter::Nobody) {
            return Ok(done);
        }
        self.committer.submit(batch, Staged { partition: Some((id, partition.ticket())), waiter })?;
        Ok(done)
    }

    /// Queues records of the node itself.
    pub(crate) fn record(&self, batch: Batch, waiter: Waiter) -> Result<(), ChangeError> {
        self.committer.ready()?;
        Ok(self.committer.submit(batch, Staged { partition: None, waiter })?)
    }

    /// Begins a full exchange of a partition, unless one is in progress: a second source would begin it anew, and
    /// neither would ever end.
    pub(crate) fn begin_full(&self, id: PartitionId) -> Option<Filling<'_>> {
        let new = self.filling.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        // Not made in vain: dropping it gives up the exchange in progress.
        new.then(|| Filling { node: self, id })
    }

    /// Changes of a partition up to `ticket` are durable.
    fn committed(&self, id: PartitionId, ticket: Ticket) {
        if let Some(mut partition) = self.partition(id) {
            // Under the lock, so that whoever reads the tick and then locks the partition sees the change.
            let tick = self.tick.fetch_add(1, Ordering::AcqRel) + 1;
            partition.committed(ticket, tick);
        }
    }

    /// The log segments whose records are all reported durable.
    pub(crate) fn segments(&self) -> MutexGuard<'_, Kept> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tick of the latest change of any durable clock.
    pub(crate) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Acquire)
    }

    /// A stamp for a write now.
    fn stamp(&self) -> Hlc {
        self.hybrid.lock().unwrap_or_else(PoisonError::into_inner).tick(clock::wall_ms())
    }

    /// Takes note of a stamp from elsewhere; one too far ahead is not adopted, and counted.
    pub(crate) fn observe(&self, stamp: Hlc) {
        if stamp == Hlc::default() {
            return;
        }
        let observed =
            self.hybrid.lock().unwrap_or_else(PoisonError::into_inner).observe(stamp, clock::wall_ms());
        if let Err(error) = observed {
            self.metrics.stamps_ahead.inc();
            tracing::debug!(%error, "stamp not adopted");
        }
    }

    /// How far other nodes are with layouts, as they told.
    fn heard_layouts(&self) -> MutexGuard<'_, Heard> {
        self.heard_layouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes that were heard of.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }

    /// The other nodes, whether reachable or not.
    pub(crate) fn peers(&self) -> arc_swap::Guard<Arc<Vec<Arc<Peer>>>> {
        self.peers.load()
    }

    /// Says that this process must not run on; the first reason counts. Whoever says so triggers the shutdown.
    pub(crate) fn must_stop(&self, reason: String) {
        tracing::error!(reason, "stopping");
        // A later reason adds nothing.
        let _ = self.must_stop.set(reason);
    }

    /// Why this process must not run on, if so.
    pub(crate) fn stop_reason(&self) -> Option<&String> {
        self.must_stop.get()
    }

    /// Commits what is queued and ends the committer.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        self.committer.close()
    }

    /// Applies the live part of a new configuration.
    pub(crate) fn reconfigured(&self) {
        self.committer.set_durability(self.config.load().live.durability);
    }
}

/// A full exchange in progress; given up when it is dropped before its last page.
pub(crate) struct Filling<'a> {
    node: &'a Node,
    id: PartitionId,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if let Some(mut partition) = self.node.partition(self.id) {
            partition.abort_full();
        }
        self.node.filling.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The part of `storage.cache` that holds decoded entries; the rest is the engine's, for blocks as they are on disk.
pub(crate) const fn entry_cache_bytes(cache_bytes: u64) -> u64 {
    cache_bytes / 4 * 3
}

impl From<Refused> for ChangeError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Overloaded => Self::Overloaded,
            Refused::Closed => Self::Closing,
            Refused::Failed(error) => Self::Storage(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::listen::PAGE;
    use crate::testing;

    #[tokio::test]
    async fn who_may_not_begin_a_full_exchange_does_not_end_the_one_in_progress() {
        let directory = tempfile::tempdir().unwrap();
        let (node, _) = testing::open(directory.path(), "[cluster]\nexpect = 1\n");
        let id = PartitionId(0);
        let first = node.begin_full(id);
        node.partition(id).unwrap().open_full(&*node.engine, PAGE).unwrap();
        assert!(node.begin_full(id).is_none());
        assert!(node.partition(id).unwrap().is_pulling());
        drop(first);
        assert!(!node.partition(id).unwrap().is_pulling());
        assert!(node.begin_full(id).is_some());
    }
}
