//! Where the replicas of each partition are, as requests need it: computed once per change of layout or peers.

use std::sync::Arc;

use arc_swap::Guard;
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::layout::Layout;

use crate::peer::Peer;

use super::Node;

/// The routes of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    partitions: Vec<Route>,
    /// Of every partition, while there is no layout.
    unborn: Route,
}

/// Where the replicas of one partition are.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// Whether this node is one of them.
    pub(crate) own: bool,
    /// How many there are.
    pub(crate) replicas: usize,
    /// The other ones, the preferred coordinator first.
    pub(crate) partners: Vec<Arc<Peer>>,
}

impl Routes {
    /// The routes that follow from a layout.
    pub(super) fn new(layout: Option<&Layout>, own: NodeId, peers: &[Arc<Peer>]) -> Self {
        let Some(layout) = layout else { return Self::default() };
        let route = |id: PartitionId| {
            let nodes = layout.replicas(id).filter(|node| *node != own);
            let partners = nodes.filter_map(|node| peers.iter().find(|peer| peer.node == node).cloned());
            Route {
                own: layout.holds(own, id),
                replicas: layout.replicas(id).count(),
                partners: partners.collect(),
            }
        };
        let ids = 0..layout.partitions();
        let partitions = ids.map(|id| route(PartitionId(u16::try_from(id).unwrap_or(u16::MAX)))).collect();
        Self { partitions, unborn: Route::default() }
    }

    /// The route of a partition.
    pub(crate) fn of(&self, id: PartitionId) -> &Route {
        self.partitions.get(usize::from(id.0)).unwrap_or(&self.unborn)
    }
}

impl Route {
    /// The identities of the other replicas.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.partners.iter().map(|peer| peer.node).collect()
    }

    /// Whether `node` is one of the other replicas.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.partners.iter().any(|peer| peer.node == node)
    }

    /// Whether this node and `node` are both replicas.
    pub(crate) fn is_shared_with(&self, node: NodeId) -> bool {
        self.own && self.has(node)
    }
}

impl Node {
    /// Where the replicas of each partition are.
    pub(crate) fn routes(&self) -> Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// Computes the routes anew. Called by whoever changed the layout or the peers, after it did.
    pub(super) fn reroute(&self) {
        let routes = Routes::new(self.layout().as_deref(), self.origin.node, &self.peers());
        self.routes.store(Arc::new(routes));
    }
}
