//! Bounds on the log: its oldest records are dropped although replicas lack their writes, which have diverged then.

use settle_core::clock::Clock;
use settle_core::dot::NodeId;

use crate::broken::Broken;
use crate::invariants::diverged;

use super::Cluster;

impl Cluster {
    /// Some node's log is beyond a bound: it drops what some or all others lack, and settles who has caught up.
    pub(super) fn drop_hints(&mut self) -> Result<(), Broken> {
        let Some(place) = self.some_node() else { return Ok(()) };
        let index = self.some_partition();
        let Some(place) = self.holder(place, index) else { return Ok(()) };
        self.settle_diverged(place, index)?;
        if !self.nodes[place].up {
            return Ok(());
        }
        let others = self.others(place, index);
        let lacking: Vec<NodeId> = others.iter().copied().filter(|_| self.rng.chance(700)).collect();
        let upto = self.now.saturating_sub(self.rng.pick(&[0, 20, 100]));
        let (dropped, records) = self.nodes[place].change(index, |partition, transaction| {
            let before = partition.logged().clone();
            let dropped = partition.drop_hints(transaction, &others, &lacking, upto);
            Ok((dropped, before.minus(partition.logged())))
        })?;
        self.trace.note(|| format!("node {place} drops log records of partition {index}: {dropped:?}"));
        self.dropped[place][index].join(&records);
        self.maybe_flush(place)
    }

    /// A node takes back that others have diverged, of those that have caught up.
    pub(super) fn settle_diverged(&mut self, place: usize, index: usize) -> Result<(), Broken> {
        let others = self.others(place, index);
        self.nodes[place]
            .change(index, |partition, transaction| Ok(partition.settle_diverged(transaction, &others)))?;
        self.maybe_flush(place)
    }

    /// Who lacks a write whose log record was dropped is said to have diverged.
    pub(super) fn check_diverged(&mut self) -> Result<(), Broken> {
        for place in (0..self.nodes.len()).filter(|place| self.nodes[*place].up) {
            for index in 0..self.shape.partitions {
                let partition = &self.nodes[place].partitions[index];
                // What a crash brought back into the log is not dropped any more.
                let dropped = self.dropped[place][index].minus(partition.logged());
                let marked: Vec<NodeId> = partition.diverged().collect();
                for (other, node) in self.nodes.iter().enumerate().filter(|(other, _)| *other != place) {
                    let lacks: Clock = dropped.minus(&node.views[index].clock);
                    diverged::check(&lacks, marked.contains(&node.id), place, other)?;
                }
                self.dropped[place][index] = dropped;
            }
        }
        Ok(())
    }
}
