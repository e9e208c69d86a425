//! What this node knows of layouts: stored, made once at the cluster's birth, taken over from nodes that are further, and
//! moved on step by step. It is durable before it takes effect, and before anybody is told.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError};

use settle_core::codec::{Decode, Encode};
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::layout::Layout;
use settle_core::layout::decide::{Accept, Prepare, Vote};
use settle_core::layout::steps::{Adopted, LayoutState, Position, Standing};
use settle_core::placement::{Host, PlacementError, Replication};
use settle_core::storage::{Batch, Rows, StorageError, Table};
use settle_store::{Disk as _, Durability};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::watched::joined;

use super::commit::Waiter;
use super::route::{Moving, Routes};
use super::{Node, part};

/// The row of the stored state.
const STATE_ROW: &[u8] = b"layout";

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

/// The stored state, if the cluster was born.
pub(crate) fn stored_layout(rows: &dyn Rows) -> Result<Option<LayoutState>, StorageError> {
    let Some(stored) = rows.get(&Table::Node.row(STATE_ROW))? else { return Ok(None) };
    let state = LayoutState::from_bytes(stored);
    state.map(Some).map_err(|error| StorageError::Corrupt(format!("the stored layout: {error}")))
}

impl Node {
    /// The layout, and the change that it is in; `None` until the cluster is born, or this node has heard of it.
    pub(crate) fn layout(&self) -> Option<Arc<LayoutState>> {
        self.layout.load_full()
    }

    /// How far this node is with layouts; `None` while it has none.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.routes().standing
    }

    /// Takes over the state that another node told, if it is further.
    pub(crate) async fn adopt(&self, told: LayoutState) -> Result<(), AdoptError> {
        let (own, theirs) = (self.partition_count(), told.current().partitions());
        if own != theirs {
            return Err(AdoptError::Partitions { own, theirs });
        }
        let adopted = self.change_layout(|state| match state {
            Some(state) => state.adopt(&told),
            None => {
                *state = Some(told);
                Adopted::Moved
            }
        });
        match adopted.await? {
            Adopted::Known | Adopted::Moved => Ok(()),
            Adopted::Stranger => Err(AdoptError::Stranger),
        }
    }

    /// This node's vote on the next layout, durable.
    pub(crate) async fn promise(&self, asked: Prepare) -> Result<Option<Vote>, AdoptError> {
        self.change_layout(|state| state.as_mut().map(|state| state.prepare(asked))).await
    }

    /// This node's vote on the next layout, durable.
    pub(crate) async fn accept(&self, asked: Accept) -> Result<Option<Vote>, AdoptError> {
        self.change_layout(|state| state.as_mut().map(|state| state.accept(asked))).await
    }

    /// The next layout was decided: this node begins to go there.
    pub(crate) async fn decided(&self, next: Layout) -> Result<(), AdoptError> {
        self.change_layout(|state| state.as_mut().is_some_and(|state| state.decide(next))).await.map(drop)
    }

    /// This node's condition for the step that it is in holds.
    pub(crate) async fn acknowledge(&self, position: Position) -> Result<(), AdoptError> {
        let acknowledge = |state: &mut Option<LayoutState>| {
            if let Some(state) = state.as_mut().filter(|state| state.position() == position) {
                state.acknowledge();
            }
        };
        self.change_layout(acknowledge).await
    }

    /// Enters the next step if that may be. Says whether it did.
    pub(crate) async fn advance(&self) -> Result<bool, AdoptError> {
        let heard = self.heard_layouts().clone();
        let own = self.origin.node;
        self.change_layout(|state| state.as_mut().is_some_and(|state| state.advance(own, &heard))).await
    }

    /// A node told how far it is. Says whether it knows of a layout, or a change, that this node does not know.
    pub(crate) fn hear_standing(&self, node: NodeId, told: Standing) -> bool {
        self.heard_layouts().tell(node, told);
        let own = self.standing();
        if own.is_none_or(|own| own.birth != told.birth) {
            return true;
        }
        let Some(own) = own else { return true };
        if told.position > own.position || told.acked {
            self.layout_moved.notify_one();
        }
        told.position > own.position
            && (told.position.version > own.position.version || own.position.step.is_none())
    }

    /// The members that are not known to have acknowledged the step that this node is in.
    pub(crate) fn waiting_for(&self) -> Vec<NodeId> {
        let Some(state) = self.layout() else { return Vec::new() };
        state.waiting_for(self.origin.node, &self.heard_layouts())
    }

    /// Changes what this node knows of layouts, one change at a time: on a copy, which becomes durable, whatever
    /// `storage.durability` says, and then takes effect.
    async fn change_layout<T>(
        &self,
        change: impl FnOnce(&mut Option<LayoutState>) -> T,
    ) -> Result<T, AdoptError> {
        let _one_at_a_time = self.changing_layout.lock().await;
        let before = self.layout();
        let mut after = before.as_deref().cloned();
        let outcome = change(&mut after);
        let Some(state) = after.filter(|after| before.as_deref() != Some(after)) else { return Ok(outcome) };
        self.store_layout(&state).await?;
        let before = before.map(|before| before.position());
        if before != Some(state.position()) {
            let Position { version, step } = state.position();
            let step = step.map(|step| step.number());
            tracing::info!(version, step, nodes = state.current().hosts().len(), "layout");
        }
        {
            let _one_at_a_time = self.admitting.lock().unwrap_or_else(PoisonError::into_inner);
            self.layout.store(Some(Arc::new(state)));
            self.reroute();
        }
        self.readiness.set(part::LAYOUT, Ok(()));
        self.layout_moved.notify_one();
        Ok(outcome)
    }

    async fn store_layout(&self, state: &LayoutState) -> Result<(), AdoptError> {
        let mut batch = Batch::default();
        batch.put(Table::Node.row(STATE_ROW), state.to_bytes());
        let (done, stored) = oneshot::channel();
        let queued = self.record(batch, Waiter::Task(done));
        queued.map_err(|error| AdoptError::NotStored(error.to_string()))?;
        stored.await.map_err(|_| AdoptError::NotStored("the node is shutting down".to_owned()))?;
        if self.config.load().live.durability == Durability::Always {
            return Ok(());
        }
        // What was promised to others must not be taken back by a crash.
        let engine = Arc::clone(&self.engine);
        match joined(spawn_blocking(move || engine.sync())).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(AdoptError::NotStored(error.to_string())),
            None => Err(AdoptError::NotStored("the node is shutting down".to_owned())),
        }
    }

    /// Computes the routes anew. Called by whoever changed the layout or the peers, after it did and one at a time.
    pub(super) fn reroute(&self) {
        let state = self.layout();
        let dropped = state.as_deref().map(|state| self.dropped(state)).unwrap_or_default();
        let moving = state.as_deref().map(|state| Moving::of(state, &dropped));
        let routes = Routes::new(moving, self.origin.node, &self.peers());
        for id in self.partition_ids() {
            // Whoever left may come back empty: what it told before must not count then.
            if let Some(mut partition) = self.partition(id) {
                let partners = routes.of(id).partners.iter().map(|partner| partner.peer.node);
                partition.retain_peers(&partners.collect::<Vec<_>>());
            }
        }
        let mut older = self.older_routes.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.routes.swap(Arc::new(routes));
        older.retain(|(_, routes)| routes.strong_count() > 0);
        older.push((replaced.position(), Arc::downgrade(&replaced)));
    }

    /// Computes the routes anew, since a partition is dropped.
    pub(crate) fn reroute_after_drop(&self) {
        let _one_at_a_time = self.admitting.lock().unwrap_or_else(PoisonError::into_inner);
        self.reroute();
    }

    /// The partitions of which nothing is to be told: they are being dropped, or have been.
    fn dropped(&self, state: &LayoutState) -> BTreeSet<PartitionId> {
        let is_dropped = |id: &PartitionId| {
            let Some(partition) = self.partition(*id) else { return false };
            let leaves = || state.sets(*id).drops(self.origin.node);
            partition.is_dropping() || (partition.durable().is_empty() && leaves())
        };
        self.partition_ids().filter(is_dropped).collect()
    }

    /// What placement is to know of this node.
    pub(crate) fn host(&self) -> Host {
        let node = &self.config.load().boot.node;
        Host {
            node: self.origin.node,
            name: node.name.clone(),
            datacenter: node.datacenter.clone(),
            zone: node.zone.clone(),
            weight: NonZeroU32::MIN,
            holds_data: true,
        }
    }

    /// Makes the cluster's first layout of this node and every node that is known, each with what it told of itself.
    pub(crate) async fn found(&self, birth: u64) -> Result<(), FoundError> {
        let replication = Replication::Everywhere(self.config.load().boot.cluster.replication);
        let hosts = {
            let others = self.peers();
            let others = others.iter().map(|peer| peer.host());
            std::iter::once(self.host()).chain(others).collect()
        };
        let (layout, summary) = Layout::born(birth, hosts, replication, self.partition_count())?;
        for warning in summary.warnings {
            tracing::warn!(%warning, "the cluster's first layout");
        }
        Ok(self.adopt(LayoutState::new(layout)).await?)
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
