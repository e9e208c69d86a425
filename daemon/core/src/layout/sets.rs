//! The replicas of one partition during a change: who holds it, who answers for it, and where a level must be met.

use crate::dot::NodeId;
use crate::level::Level;
use crate::plant::{Plant, planted};

use super::steps::Step;

/// The replicas of one partition, at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sets {
    old: Vec<NodeId>,
    /// The same as `old` when this partition does not move.
    new: Vec<NodeId>,
    step: Option<Step>,
}

impl Sets {
    /// Of a partition that does not move.
    #[must_use]
    pub(super) fn steady(replicas: Vec<NodeId>) -> Self {
        Self { new: replicas.clone(), old: replicas, step: None }
    }

    /// Of a partition at a step. Each preferred coordinator comes first.
    #[must_use]
    pub(super) fn new(old: Vec<NodeId>, new: Vec<NodeId>, step: Step) -> Self {
        Self { old, new, step: Some(step) }
    }

    /// The replicas in the layout that is left, or in force.
    #[must_use]
    pub fn old(&self) -> &[NodeId] {
        &self.old
    }

    /// The replicas in the next layout; the same as the old ones when nothing changes.
    #[must_use]
    pub fn new_replicas(&self) -> &[NodeId] {
        &self.new
    }

    /// Whether old and new replicas are different nodes.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.old.len() != self.new.len() || self.new.iter().any(|node| !self.old.contains(node))
    }

    /// Whose answers count for reads, and for what a write collects before it is made; whose proofs bound staleness.
    #[must_use]
    pub fn read(&self) -> &[NodeId] {
        let first = if planted(Plant::NewReadEarly) { Step::Pull } else { Step::ReadNew };
        if self.step >= Some(first) { &self.new } else { &self.old }
    }

    /// The sets in each of which the level of a write, and of what a read repairs before it answers, must be met.
    pub fn write(&self) -> impl Iterator<Item = &[NodeId]> {
        let both = self.moves() && (Some(Step::WriteBoth)..=Some(Step::ReadNew)).contains(&self.step);
        let (first, second) = match both {
            true if planted(Plant::LevelMetInNewOnly) => (self.new.as_slice(), None),
            true => (self.old.as_slice(), Some(self.new.as_slice())),
            false if self.step >= Some(Step::WriteNew) => (self.new.as_slice(), None),
            false => (self.read(), None),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether `level` is met in every set of [`Sets::write`]: each has as many replicas that `holds` as it needs.
    pub fn is_met(&self, level: Level, holds: impl Fn(NodeId) -> bool) -> bool {
        self.write().all(|set| set.iter().filter(|node| holds(**node)).count() >= level.needed(set.len()))
    }

    /// Whether a node coordinates writes: it is in the read set, or, as long as levels are met in both, an old replica.
    #[must_use]
    pub fn writes(&self, node: NodeId) -> bool {
        self.reads(node) || self.step == Some(Step::ReadNew) && self.old.contains(&node)
    }

    /// Whether a node coordinates reads: it is in the read set.
    #[must_use]
    pub fn reads(&self, node: NodeId) -> bool {
        self.read().contains(&node)
    }

    /// Whether a node holds the partition, and is a partner of the others that do: for echoes, exchanges, deltas, hints
    /// and pruning. In the last step an old replica that is not a new one holds it until it has dropped it, or has
    /// nothing to drop ([`Sets::drops`]).
    #[must_use]
    pub fn holds(&self, node: NodeId) -> bool {
        self.new.contains(&node) || self.old.contains(&node)
    }

    /// All that hold it: the old replicas, then those that are only new.
    pub fn all(&self) -> impl Iterator<Item = NodeId> {
        let added = self.new.iter().filter(|node| !self.old.contains(node));
        self.old.iter().chain(added).copied()
    }

    /// Whether a node is to drop the partition, at this step.
    #[must_use]
    pub fn drops(&self, node: NodeId) -> bool {
        self.step == Some(Step::Drop) && self.old.contains(&node) && !self.new.contains(&node)
    }
}
