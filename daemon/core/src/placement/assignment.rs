//! Who holds what: the result of placement, and its binary form.

use std::collections::{BTreeMap, BTreeSet};

use super::PARTITIONS_MAX;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64, put_varint};
use crate::dot::NodeId;
use crate::key::PartitionId;

/// The replicas of each partition. Every partition has as many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Every node that holds something, ascending.
    nodes: Vec<NodeId>,
    /// The replicas of a partition, at least 1.
    replicas: usize,
    /// Those of partition 0, then those of partition 1 and so on, as indices into `nodes`.
    slots: Vec<u32>,
}

impl Assignment {
    /// An assignment from the replicas of each partition; nothing if there are none.
    pub(super) fn from_rows(rows: Vec<Vec<NodeId>>) -> Option<Self> {
        let nodes: BTreeSet<NodeId> = rows.iter().flatten().copied().collect();
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        let replicas = rows.first().map(Vec::len).filter(|replicas| *replicas > 0)?;
        let slot = |node| nodes.binary_search(&node).unwrap_or_default() as u32;
        let slots = rows.into_iter().flatten().map(slot).collect();
        Some(Self { nodes, replicas, slots })
    }

    /// The number of partitions.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        (self.slots.len() / self.replicas) as u32
    }

    /// The replicas of a partition, over all datacenters.
    #[must_use]
    pub const fn replication(&self) -> usize {
        self.replicas
    }

    /// The nodes that hold something, ascending.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The nodes that hold `partition`, preferred coordinator first; none if there is no such partition.
    pub fn replicas(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        self.row(partition).iter().filter_map(|slot| self.node(*slot))
    }

    /// The node that should coordinate writes to `partition` if all are equally near.
    #[must_use]
    pub fn coordinator(&self, partition: PartitionId) -> Option<NodeId> {
        self.replicas(partition).next()
    }

    /// Whether `node` holds `partition`.
    #[must_use]
    pub fn holds(&self, node: NodeId, partition: PartitionId) -> bool {
        self.replicas(partition).any(|replica| replica == node)
    }

    /// The partitions that `node` holds, ascending.
    pub fn partitions_of(&self, node: NodeId) -> impl Iterator<Item = PartitionId> + '_ {
        let slot = self.nodes.binary_search(&node).ok().map(|slot| slot as u32);
        let holds = move |row: &[u32]| slot.is_some_and(|slot| row.contains(&slot));
        self.rows().filter(move |(_, row)| holds(row)).map(|(partition, _)| partition)
    }

    /// How many partitions each node holds.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<NodeId, usize> {
        let mut counts = BTreeMap::new();
        for node in self.slots.iter().filter_map(|slot| self.node(*slot)) {
            *counts.entry(node).or_default() += 1;
        }
        counts
    }

    /// How many replicas of this assignment `previous` does not have.
    #[must_use]
    pub fn moves_from(&self, previous: &Self) -> usize {
        let new = |(partition, row): (PartitionId, &[u32])| {
            let nodes = row.iter().filter_map(|slot| self.node(*slot));
            nodes.filter(|node| !previous.holds(*node, partition)).count()
        };
        self.rows().map(new).sum()
    }

    fn node(&self, slot: u32) -> Option<NodeId> {
        self.nodes.get(slot as usize).copied()
    }

    fn row(&self, partition: PartitionId) -> &[u32] {
        let start = usize::from(partition.0) * self.replicas;
        self.slots.get(start..start + self.replicas).unwrap_or_default()
    }

    fn rows(&self) -> impl Iterator<Item = (PartitionId, &[u32])> {
        (0..=u16::MAX).map(PartitionId).zip(self.slots.chunks_exact(self.replicas))
    }

    /// Reads the rows behind the table of nodes.
    fn decode_slots(&mut self, partitions: usize, input: &mut Reader) -> Result<(), DecodeError> {
        // For each node, the last row that it was seen in.
        let mut seen = vec![None; self.nodes.len()];
        for row in 0..partitions {
            for _ in 0..self.replicas {
                let slot = u32::try_from(input.varint()?).unwrap_or(u32::MAX);
                let seen =
                    seen.get_mut(slot as usize).ok_or(DecodeError::Invalid("assignment: no such node"))?;
                if seen.replace(row) == Some(row) {
                    return Err(DecodeError::Invalid("assignment: a node holds a partition twice"));
                }
                self.slots.push(slot);
            }
        }
        match seen.contains(&None) {
            true => Err(DecodeError::Invalid("assignment: a node holds nothing")),
            false => Ok(()),
        }
    }
}

const ASSIGNMENT_VERSION: u8 = 1;

impl Encode for Assignment {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(ASSIGNMENT_VERSION);
        put_varint(out, self.nodes.len() as u64);
        for node in &self.nodes {
            put_u64(out, node.0);
        }
        put_varint(out, u64::from(self.partitions()));
        put_varint(out, self.replicas as u64);
        for slot in &self.slots {
            put_varint(out, u64::from(*slot));
        }
    }
}

impl Decode for Assignment {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.version("assignment", ASSIGNMENT_VERSION)?;
        let mut nodes = Vec::new();
        for _ in 0..input.count(8)? {
            nodes.push(NodeId(input.u64()?));
        }
        if !nodes.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid("assignment: nodes out of order"));
        }
        let partitions = u32::try_from(input.varint()?).unwrap_or(u32::MAX);
        if !partitions.is_power_of_two() || partitions > PARTITIONS_MAX {
            return Err(DecodeError::Invalid("assignment: number of partitions"));
        }
        let replicas = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
        if replicas == 0 || replicas > nodes.len() {
            return Err(DecodeError::Invalid("assignment: number of replicas"));
        }
        let mut assignment = Self { nodes, replicas, slots: Vec::new() };
        assignment.decode_slots(partitions as usize, input)?;
        Ok(assignment)
    }
}
