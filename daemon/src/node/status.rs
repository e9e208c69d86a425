//! What a node knows of its own state: for metrics, operators and the sidecar.

use std::time::Duration;

use settle_core::dot::NodeId;
use settle_core::layout::steps::Step;
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
    /// Writes that it has and that are not durable here; `None` while it does not say.
    pub(crate) missing: Option<u64>,
    /// Writes in this node's log that it is not known to have.
    pub(crate) hints: u64,
    /// The age of the oldest of them; zero when there is none.
    pub(crate) hints_age: Duration,
    /// Partitions of which it lacks writes that this node's log has dropped.
    pub(crate) diverged: u64,
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
    /// Those of which another replica has diverged, and that are not being filled.
    pub(crate) diverged: u64,
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
                let (mut oldest, mut missing) = (Some(now), Some(0));
                let (mut hints, mut logged, mut diverged) = (0, None, 0);
                let routes = self.routes();
                for id in self.partition_ids().filter(|id| routes.of(*id).is_shared_with(peer.node)) {
                    let Some(mut partition) = self.partition(id) else { continue };
                    oldest = oldest.zip(partition.proof(peer.node, now)).map(|(a, b)| a.min(b));
                    missing = missing.zip(partition.missing_from(peer.node)).map(|(sum, more)| sum + more);
                    let kept = partition.hints(peer.node);
                    logged = logged.into_iter().chain(kept.oldest).min();
                    hints += kept.pending;
                    diverged += u64::from(partition.diverged().any(|node| node == peer.node));
                }
                let up = peer.is_up(now, silence_max);
                let age = |logged| Duration::from_secs(self.steady.seconds().saturating_sub(logged));
                PeerStatus {
                    name: peer.name.clone(),
                    lag: clock::between(oldest.unwrap_or(self.started), now),
                    proven: oldest.is_some(),
                    // What a peer had when it was last heard says nothing about what it has taken in since.
                    missing: missing.filter(|_| up),
                    hints,
                    hints_age: logged.map_or(Duration::ZERO, age),
                    diverged,
                    up,
                    state: peer.state(up),
                    round_trip: peer.round_trip(),
                }
            })
            .collect()
    }

    /// How far the change of the layout is, 0 to 1 by steps and by the nodes that have acknowledged the present one; 1 when
    /// nothing changes.
    pub(crate) fn layout_progress(&self) -> f64 {
        let Some(state) = self.layout() else { return f64::NAN };
        let Some(change) = state.change() else { return 1.0 };
        let members = state.members().len().max(1);
        let acked = members.saturating_sub(self.waiting_for().len()) as f64 / members as f64;
        (f64::from(change.step.number() - 1) + acked) / Step::EVERY.len() as f64
    }

    /// Sums over all partitions.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals =
            Totals { keys: Some(0), storage_bytes: self.engine.size_bytes(), ..Totals::default() };
        let routes = self.routes();
        for id in self.partition_ids().filter(|id| routes.of(*id).own) {
            let Some(partition) = self.partition(id) else { continue };
            totals.partitions += 1;
            let diverged = partition.diverged().next().is_some();
            totals.syncing += u64::from(partition.is_pulling());
            totals.diverged += u64::from(diverged && !partition.is_pulling());
            totals.log_records += partition.log_records();
            totals.keys = totals.keys.zip(partition.live_keys()).map(|(sum, keys)| sum + keys);
        }
        totals
    }

    /// Partitions of which a peer lacks writes that this node's log has dropped.
    pub(crate) fn diverged_partitions(&self, peer: NodeId) -> usize {
        let partitions = self.partition_ids().filter_map(|id| self.partition(id));
        partitions.filter(|partition| partition.diverged().any(|node| node == peer)).count()
    }
}
