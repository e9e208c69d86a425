//! Who holds a partition, and for what, as one node has it at its step of a layout change.

use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::layout::sets::Sets;
use settle_core::layout::steps::{LayoutState, Position};
use settle_core::level::Level;

/// The route of one partition. A request keeps the one that it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// How far the node is.
    pub position: Position,
    /// Whether this node holds the partition, unless it has dropped it.
    pub own: bool,
    /// Whether it coordinates writes.
    pub writes: bool,
    /// Whether it coordinates reads.
    pub reads: bool,
    /// Whether it is to drop the partition.
    pub drops: bool,
    /// The places whose answers count for reads.
    pub read: Vec<usize>,
    /// The sets of places in each of which a level must be met.
    pub write: Vec<Vec<usize>>,
    /// The places of the old replicas.
    pub old: Vec<usize>,
    /// The places of the new replicas.
    pub new: Vec<usize>,
    /// All other places that hold it.
    pub others: Vec<usize>,
}

/// The place of a node.
#[must_use]
pub const fn place_of(node: NodeId) -> usize {
    node.0 as usize - 1
}

/// The node at a place.
#[must_use]
pub const fn node_at(place: usize) -> NodeId {
    NodeId(place as u64 + 1)
}

/// The nodes at some places.
#[must_use]
pub fn nodes_at(places: &[usize]) -> Vec<NodeId> {
    places.iter().map(|place| node_at(*place)).collect()
}

impl Route {
    /// Of a cluster in which every node holds everything, for ever.
    #[must_use]
    pub fn everywhere(place: usize, nodes: usize) -> Self {
        let all: Vec<usize> = (0..nodes).collect();
        Self {
            position: Position::default(),
            own: true,
            writes: true,
            reads: true,
            drops: false,
            read: all.clone(),
            write: vec![all.clone()],
            old: all.clone(),
            others: all.iter().copied().filter(|other| *other != place).collect(),
            new: all,
        }
    }

    /// Of a partition, by a node's state.
    #[must_use]
    pub fn of(place: usize, state: &LayoutState, partition: PartitionId) -> Self {
        let sets: Sets = state.sets(partition);
        let node = node_at(place);
        let places = |nodes: &[NodeId]| {
            let mut places: Vec<usize> = nodes.iter().map(|node| place_of(*node)).collect();
            places.sort_unstable();
            places
        };
        let mut others: Vec<usize> = sets.all().filter(|other| *other != node).map(place_of).collect();
        others.sort_unstable();
        Self {
            position: state.position(),
            own: sets.holds(node),
            writes: sets.writes(node),
            reads: sets.reads(node),
            drops: sets.drops(node),
            read: places(sets.read()),
            write: sets.write().map(places).collect(),
            old: places(sets.old()),
            new: places(sets.new_replicas()),
            others,
        }
    }

    /// Whether `level` is met in every set of a write.
    pub fn is_met(&self, level: Level, holds: impl Fn(usize) -> bool) -> bool {
        self.counts(holds).all(|(held, replicas)| held >= level.needed(replicas))
    }

    /// In each set of a write, how many hold something, and how many there are.
    pub fn counts(&self, holds: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, usize)> {
        self.write.iter().map(move |set| (set.iter().filter(|place| holds(**place)).count(), set.len()))
    }

    /// Whether a write at one replica is met by this node alone.
    #[must_use]
    pub fn is_met_alone(&self, place: usize) -> bool {
        self.is_met(Level::One, |other| other == place)
    }

    /// One of the others that answer reads.
    #[must_use]
    pub fn readers_but(&self, place: usize) -> Vec<usize> {
        self.read.iter().copied().filter(|other| *other != place).collect()
    }
}
