//! The layout as this node knows it: stored, adopted when another node tells of a newer one, and made once at the
//! cluster's birth.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};

use settle_core::codec::{Decode, Encode};
use settle_core::layout::{Layout, Told};
use settle_core::placement::{Host, PlacementError, Replication};
use settle_core::storage::{Batch, Rows, StorageError, Table};
use tokio::sync::oneshot;

use super::commit::Waiter;
use super::{Node, part};

/// The row of the stored layout.
const LAYOUT_ROW: &[u8] = b"assignment";

/// Why a layout did not become this node's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// Two clusters of one name.
    #[error(
        "it belongs to another cluster of the same name, born separately: give the two clusters different names \
         (cluster.name), or empty the data directories of the nodes of one of them"
    )]
    Stranger,
    /// Another number of partitions.
    #[error("it has {theirs} partitions and this node is configured for {own} (cluster.partitions)")]
    Partitions {
        /// This node's.
        own: u32,
        /// The layout's.
        theirs: u32,
    },
    /// It could not be stored.
    #[error("it could not be stored: {0}")]
    NotStored(String),
}

/// The stored layout, if the cluster was born.
pub(crate) fn stored_layout(rows: &dyn Rows) -> Result<Option<Layout>, StorageError> {
    let Some(stored) = rows.get(&Table::Node.row(LAYOUT_ROW))? else { return Ok(None) };
    let layout = Layout::from_bytes(stored);
    layout.map(Some).map_err(|error| StorageError::Corrupt(format!("the stored layout: {error}")))
}

impl Node {
    /// The layout; `None` until the cluster is born, or this node has heard of it.
    pub(crate) fn layout(&self) -> Option<Arc<Layout>> {
        self.layout.load_full()
    }

    /// The birth and version of the layout, for peers; zeros while there is none.
    pub(crate) fn layout_version(&self) -> (u64, u64) {
        let stage = self.routes().stage;
        (stage.birth, stage.version)
    }

    /// Adopts a layout that another node told of, if it is newer. It is durable before it takes effect.
    pub(crate) async fn adopt(&self, layout: Layout) -> Result<(), AdoptError> {
        let (own, theirs) = (self.partition_count(), layout.partitions());
        if own != theirs {
            return Err(AdoptError::Partitions { own, theirs });
        }
        match layout.told_to(self.layout().as_deref()) {
            Told::Known => return Ok(()),
            Told::Stranger => return Err(AdoptError::Stranger),
            Told::Newer => {}
        }
        let mut batch = Batch::default();
        batch.put(Table::Node.row(LAYOUT_ROW), layout.to_bytes());
        let (done, stored) = oneshot::channel();
        let queued = self.record(batch, Waiter::Task(done));
        queued.map_err(|error| AdoptError::NotStored(error.to_string()))?;
        stored.await.map_err(|_| AdoptError::NotStored("the node is shutting down".to_owned()))?;
        {
            let _one_at_a_time = self.admitting.lock().unwrap_or_else(PoisonError::into_inner);
            // Another one may have been adopted meanwhile; the newest stays in memory, and is told again to this node
            // after a restart if storage has an older one.
            if layout.told_to(self.layout().as_deref()) == Told::Newer {
                tracing::info!(version = layout.version, nodes = layout.hosts().len(), "layout adopted");
                self.layout.store(Some(Arc::new(layout)));
                self.reroute();
            }
        }
        self.readiness.set(part::LAYOUT, Ok(()));
        Ok(())
    }

    /// Makes the cluster's first layout of this node and every node that is known, each with what it told of itself.
    pub(crate) async fn found(&self, birth: u64) -> Result<(), FoundError> {
        let (hosts, replication) = {
            let boot = &self.config.load().boot;
            let own = Host {
                node: self.origin.node,
                name: boot.node.name.clone(),
                datacenter: boot.node.datacenter.clone(),
                zone: boot.node.zone.clone(),
                weight: NonZeroU32::MIN,
                holds_data: true,
            };
            let others = self.peers();
            let others = others.iter().map(|peer| peer.host());
            (std::iter::once(own).chain(others).collect(), Replication::Everywhere(boot.cluster.replication))
        };
        let (layout, summary) = Layout::born(birth, hosts, replication, self.partition_count())?;
        for warning in summary.warnings {
            tracing::warn!(%warning, "the cluster's first layout");
        }
        Ok(self.adopt(layout).await?)
    }
}

/// Why no cluster was born.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundError {
    /// The nodes cannot hold anything.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The layout could not be kept.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
}
