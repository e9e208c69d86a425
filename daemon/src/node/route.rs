//! Where the replicas of each partition are, as requests need it: computed once per change of layout, step or peers.
//!
//! A request holds the routes that it began with until it has ended. While a layout changes, those of an earlier step
//! so tell whether requests of that step go on ([`Node::older_requests_ended`]).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use arc_swap::Guard;
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::layout::Layout;
use settle_core::layout::steps::{LayoutState, Position, Standing, Step};
use settle_core::level::Level;

use crate::peer::Peer;

use super::Node;
use super::sets::{PerSet, Sets};

/// A layout as routes see it: with the one that it is on the way to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moving<'a> {
    /// The layout.
    pub(super) layout: &'a Layout,
    /// The one that follows, and the step of the way to it.
    pub(super) next: Option<(&'a Layout, Step)>,
    /// What others are told of it.
    pub(super) standing: Standing,
    /// The partitions that this node is about to drop, or has dropped, although it is among their old replicas.
    pub(super) dropped: &'a BTreeSet<PartitionId>,
}

/// The routes of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// What they follow from; `None` while there is no layout.
    pub(crate) standing: Option<Standing>,
    partitions: Vec<Route>,
    /// Of every partition, while there is no layout.
    unborn: Route,
}

/// Where the replicas of one partition are. Its sets are the replicas in which levels must be met: one set, or, in the
/// first three steps of a change that moves the partition, the old and the new one.
#[derive(Debug, Default)]
pub(crate) struct Route {
    /// Whether this node holds it.
    pub(crate) own: bool,
    /// Whether this node may serve clients from what it holds.
    pub(crate) coordinates: bool,
    /// In which sets this node is.
    pub(crate) sets: Sets,
    /// How many replicas each set has; 0 in the second one if there is one set.
    pub(crate) sizes: PerSet,
    /// The other ones that hold it, the preferred coordinator first, as far as they were heard of.
    pub(crate) partners: Vec<Partner>,
    /// The other ones in which levels must be met, heard of or not.
    others: Vec<NodeId>,
}

/// Another node that holds a partition.
#[derive(Debug, Clone)]
pub(crate) struct Partner {
    /// The node.
    pub(crate) peer: Arc<Peer>,
    /// In which sets it is; in none when it is about to drop the partition.
    pub(crate) sets: Sets,
    /// Whether it may serve clients from what it holds.
    pub(crate) coordinates: bool,
}

/// What a node is to a partition.
#[derive(Debug, Clone, Copy)]
struct Part {
    sets: Sets,
    coordinates: bool,
}

impl Routes {
    /// The routes that follow from a layout.
    pub(super) fn new(moving: Option<Moving<'_>>, own: NodeId, peers: &[Arc<Peer>]) -> Self {
        let Some(moving) = moving else { return Self::default() };
        let ids = PartitionId::each(moving.layout.partitions());
        let partitions = ids.map(|id| moving.route(id, own, peers)).collect();
        Self { standing: Some(moving.standing), partitions, unborn: Route::default() }
    }

    /// The layout and step that they follow from.
    pub(crate) fn position(&self) -> Position {
        self.standing.map(|standing| standing.position).unwrap_or_default()
    }

    /// The route of a partition.
    pub(crate) fn of(&self, id: PartitionId) -> &Route {
        self.partitions.get(usize::from(id.0)).unwrap_or(&self.unborn)
    }
}

impl<'a> Moving<'a> {
    /// A layout as a node knows it.
    pub(super) fn of(state: &'a LayoutState, dropped: &'a BTreeSet<PartitionId>) -> Self {
        let next = state.change().map(|change| (&change.next, change.step));
        Self { layout: state.current(), next, standing: state.standing(), dropped }
    }

    fn route(&self, id: PartitionId, own: NodeId, peers: &[Arc<Peer>]) -> Route {
        let mut nodes: Vec<NodeId> = self.layout.replicas(id).collect();
        if let Some((next, _)) = self.next {
            nodes.extend(next.replicas(id).filter(|node| !self.layout.holds(*node, id)));
        }
        let mut route = Route::default();
        for node in nodes {
            let Part { sets, coordinates } = self.part(id, node);
            route.sizes.add(sets);
            if node != own && !sets.is_empty() {
                route.others.push(node);
            }
            if node == own {
                route.own = !self.dropped.contains(&id);
                (route.sets, route.coordinates) = (sets, coordinates && route.own);
            } else if let Some(peer) = peers.iter().find(|peer| peer.node == node) {
                route.partners.push(Partner { peer: Arc::clone(peer), sets, coordinates });
            }
        }
        route
    }

    /// What a replica of the old or the new set of a partition is to it.
    fn part(&self, id: PartitionId, node: NodeId) -> Part {
        let old = self.layout.holds(node, id);
        let Some((next, step)) = self.next else {
            return Part { sets: Sets::of(old, false), coordinates: old };
        };
        let new = next.holds(node, id);
        let mut of_both = self.layout.replicas(id).chain(next.replicas(id));
        let stays = of_both.all(|node| self.layout.holds(node, id) && next.holds(node, id));
        match step {
            _ if stays => Part { sets: Sets::of(true, false), coordinates: true },
            Step::WriteBoth | Step::Pull => Part { sets: Sets::of(old, new), coordinates: old },
            Step::ReadNew => Part { sets: Sets::of(old, new), coordinates: true },
            Step::WriteNew | Step::Drop => Part { sets: Sets::of(new, false), coordinates: new },
        }
    }
}

impl Route {
    /// Whether the layout says who holds it.
    pub(crate) const fn is_known(&self) -> bool {
        self.sizes.0[0] > 0
    }

    /// How many replicas of each set a level needs.
    pub(crate) fn needed(&self, level: Level) -> PerSet {
        PerSet(self.sizes.0.map(|size| if size == 0 { 0 } else { level.needed(size) }))
    }

    /// The identities of the other replicas in which levels must be met. One that was not heard of yet is among them: what
    /// it lacks must not be taken for superfluous.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.others.clone()
    }

    /// Whether `node` holds it too, as far as that is known.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.partners.iter().any(|partner| partner.peer.node == node)
    }

    /// Whether this node and `node` both hold it.
    pub(crate) fn is_shared_with(&self, node: NodeId) -> bool {
        self.own && self.has(node)
    }
}

impl Node {
    /// Where the replicas of each partition are; for a look, not for as long as a request takes.
    pub(crate) fn routes(&self) -> Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// The same, for a request to hold until it has ended.
    pub(crate) fn routes_for_request(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// Whether every request of this node that began before it was at `position` has ended.
    pub(crate) fn older_requests_ended(&self, position: Position) -> bool {
        let mut older = self.older_routes.lock().unwrap_or_else(PoisonError::into_inner);
        older.retain(|(_, routes)| routes.strong_count() > 0);
        older.iter().all(|(began, _)| *began >= position)
    }
}

#[cfg(test)]
mod tests;
