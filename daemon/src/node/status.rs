//! What a node knows of its own state: for metrics, operators and the sidecar.

use std::time::Duration;

use settle_store::Disk;

use crate::clock;

use super::Node;

/// How far this node is behind one peer, and that peer behind this node.
#[derive(Debug, Clone)]
pub(crate) struct PeerStatus {
    /// The peer's name.
    pub(crate) name: String,
    /// Everything acknowledged through it longer ago than this is here.
    pub(crate) lag: Duration,
    /// Whether `lag` was proven since the start; otherwise it is the time since the start.
    pub(crate) proven: bool,
    /// Writes that it told of and that are not durable here.
    pub(crate) missing: u64,
    /// Writes that it is not known to have.
    pub(crate) hints: u64,
    /// Whether it answers.
    pub(crate) up: bool,
    /// `alive`, `suspect`, `dead`, or `unknown` when it was not heard of since the start.
    pub(crate) state: &'static str,
    /// The smoothed round trip of its echoes.
    pub(crate) round_trip: Option<Duration>,
}

/// Sums over all partitions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Partitions held.
    pub(crate) partitions: u64,
    /// Those that a full exchange is filling.
    pub(crate) syncing: u64,
    /// Log records kept.
    pub(crate) log_records: u64,
    /// Live keys of user buckets; `None` until they were counted.
    pub(crate) keys: Option<i64>,
    /// Space on disk.
    pub(crate) storage_bytes: u64,
}

impl Node {
    /// Every peer's status, by name.
    pub(crate) fn peer_statuses(&self) -> Vec<PeerStatus> {
        let peers = self.peers();
        let silence_max = self.silence_max();
        peers
            .iter()
            .map(|peer| {
                let now = clock::now();
                let (mut oldest, mut missing, mut hints) = (Some(now), 0, 0);
                for id in self.partition_ids() {
                    let Some(mut partition) = self.partition(id) else { continue };
                    oldest = oldest.zip(partition.proof(peer.node, now)).map(|(a, b)| a.min(b));
                    missing += partition.missing_from(peer.node);
                    hints += partition.hints_for(peer.node);
                }
                let up = peer.is_up(now, silence_max);
                PeerStatus {
                    name: peer.name.clone(),
                    lag: clock::between(oldest.unwrap_or(self.started), now),
                    proven: oldest.is_some(),
                    missing,
                    hints,
                    up,
                    state: peer.state(up),
                    round_trip: peer.round_trip(),
                }
            })
            .collect()
    }

    /// Sums over all partitions.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals =
            Totals { keys: Some(0), storage_bytes: self.engine.size_bytes(), ..Totals::default() };
        for id in self.partition_ids() {
            let Some(partition) = self.partition(id) else { continue };
            totals.partitions += 1;
            totals.syncing += u64::from(partition.is_pulling());
            totals.log_records += partition.log_records();
            totals.keys = totals.keys.zip(partition.live_keys()).map(|(sum, keys)| sum + keys);
        }
        totals
    }
}
