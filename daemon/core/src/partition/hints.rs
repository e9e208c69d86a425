//! Hints: the log records that another replica lacks, while it is away; how old they are, and what becomes of them at a
//! bound.
//!
//! The log is kept once, for all replicas that lack something in it. When it grows beyond a bound, its oldest records are
//! dropped; the data stays. A replica that lacks one of them has *diverged*: no log can tell it any more which key to
//! fetch, only a full exchange brings it back. That is remembered durably here, until its own durable clock covers what
//! was dropped.

use std::collections::BTreeMap;

use crate::clock::Clock;
use crate::codec::{Decode, Encode};
use crate::dot::NodeId;
use crate::key::PartitionId;
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError, Table};

use super::{Partition, Ticket, Transaction, corrupt, scan_table};

/// What this replica keeps for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// Log records of writes that the other one, by its last word, lacks; all, while it has told nothing.
    pub pending: u64,
    /// When the oldest of them was logged, in seconds; `None` if that was since the last call of [`Partition::spill`].
    pub oldest: Option<u64>,
}

/// Log records that were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Gone when this is durable.
    pub ticket: Ticket,
    /// How many.
    pub records: u64,
    /// The replicas that have diverged by it, those that had before included.
    pub diverged: Vec<NodeId>,
}

/// The diverged replicas that storage knows of.
pub(super) fn stored(id: PartitionId, rows: &dyn Rows) -> Result<BTreeMap<NodeId, Clock>, StorageError> {
    let mut diverged = BTreeMap::new();
    scan_table(rows, Table::Diverged, id, |row, value| {
        let node =
            Table::row_node(row).ok_or_else(|| StorageError::Corrupt("a diverged row's name".into()))?;
        diverged.insert(node, Clock::from_bytes(value).map_err(|error| corrupt("dropped records", &error))?);
        Ok(())
    })?;
    Ok(diverged)
}

impl Partition {
    /// What is kept for `peer`.
    #[must_use]
    pub fn hints(&self, peer: NodeId) -> Hints {
        let pending = self.lacked(peer, self.log.dots().intersection(&self.durable));
        if pending.is_empty() {
            return Hints::default();
        }
        let oldest = self.log.ages().oldest(|dots| !dots.intersection(&pending).is_empty());
        Hints { pending: pending.count(), oldest: oldest.or(self.log.spilled_at()) }
    }

    /// Those of some dots that `peer`, by its last word, lacks.
    fn lacked(&self, peer: NodeId, dots: Clock) -> Clock {
        match self.last_told(peer) {
            Some(told) => dots.minus(told),
            None => dots,
        }
    }

    /// What the log takes, in bytes: of each generation of records, when it was complete, in seconds, and its size.
    pub fn log_sizes(&self) -> impl Iterator<Item = (u64, u64)> {
        self.log.ages().sizes()
    }

    /// Drops the durable log records that were logged up to the second `upto`, that one of `lacking`, by its last word,
    /// lacks, and that all other replicas have; `others` are all other replicas. Those of `lacking` that lack one of them
    /// have diverged from now on.
    pub fn drop_hints(
        &mut self,
        transaction: &mut Transaction<'_>,
        others: &[NodeId],
        lacking: &[NodeId],
        upto: u64,
    ) -> Option<Dropped> {
        let old = self.log.ages().complete_at(upto).intersection(&self.durable);
        let mut dots = Clock::new();
        lacking.iter().for_each(|peer| dots.join(&self.lacked(*peer, old.clone())));
        for spared in others.iter().filter(|peer| !lacking.contains(peer)) {
            dots = dots.minus(&self.lacked(*spared, dots.clone()));
        }
        if dots.is_empty() {
            return None;
        }
        let missed: Vec<_> = lacking.iter().map(|peer| (*peer, self.lacked(*peer, dots.clone()))).collect();
        for (peer, missed) in missed.into_iter().filter(|(_, missed)| !missed.is_empty()) {
            if planted(Plant::DroppedHintUnmarked) {
                continue;
            }
            let all = self.diverged.entry(peer).or_default();
            all.join(&missed);
            transaction.batch.put(Table::Diverged.node_row(self.id, peer), all.to_bytes());
        }
        self.log.remove(transaction.batch, &dots);
        if !planted(Plant::DroppedHintNotInClock) {
            self.checkpoint(transaction);
        }
        let diverged = self.diverged.keys().copied().collect();
        Some(Dropped { ticket: self.next_ticket(), records: dots.count(), diverged })
    }

    /// The replicas that have diverged.
    pub fn diverged(&self) -> impl Iterator<Item = NodeId> {
        self.diverged.keys().copied()
    }

    /// Takes back that a replica has diverged: of those whose durable clock covers what was dropped, and of those that
    /// are not among the `others` any more. Returns the ticket of the change, if there was any.
    pub fn settle_diverged(
        &mut self,
        transaction: &mut Transaction<'_>,
        others: &[NodeId],
    ) -> Option<Ticket> {
        let gone = |peer: &NodeId, dropped: &Clock| {
            !others.contains(peer) || self.watermark(*peer).is_some_and(|told| told.covers(dropped))
        };
        let gone: Vec<NodeId> = self
            .diverged
            .iter()
            .filter(|(peer, dropped)| gone(peer, dropped))
            .map(|(peer, _)| *peer)
            .collect();
        if gone.is_empty() {
            return None;
        }
        for peer in gone {
            self.diverged.remove(&peer);
            transaction.batch.remove(Table::Diverged.node_row(self.id, peer));
        }
        Some(self.next_ticket())
    }
}
