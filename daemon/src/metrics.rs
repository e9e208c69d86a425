//! The node's own metrics: structs per concern, children resolved once, gauges refreshed at each scrape.

mod merkle;
mod repairs;

use std::collections::BTreeMap;
use std::sync::Arc;

use settle_service::metrics::{Counter, Gauge, Gauges, Histogram, MetricError, Metrics, lag_buckets};
use settle_store::Committed;

use crate::config::Bucket;
use crate::node::Node;
use crate::node::commit::Staged;

pub(crate) use merkle::Merkle;
pub(crate) use repairs::{RepairResult, Repairs};

/// Everything that the node counts while it works.
pub(crate) struct NodeMetrics {
    pub(crate) traffic: Traffic,
    pub(crate) storage: Storage,
    pub(crate) exchange: Exchange,
    pub(crate) merkle: Merkle,
    pub(crate) repairs: Repairs,
    pub(crate) siblings: Histogram,
    pub(crate) hints_replayed: Counter,
    pub(crate) hints_dropped: HintsDropped,
    pub(crate) deltas_dropped: Counter,
    pub(crate) stamps_ahead: Counter,
}

/// Writes and conflicts, per user bucket.
pub(crate) struct Traffic {
    buckets: BTreeMap<String, (Counter, Counter)>,
}

/// What the committer does.
pub(crate) struct Storage {
    sync_seconds: Histogram,
    pub(crate) errors: Counter,
}

/// Log records that were dropped at a bound.
pub(crate) struct HintsDropped {
    bytes: Counter,
    age: Counter,
}

/// The bound that log records were beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// On their size.
    Bytes,
    /// On their age.
    Age,
}

/// Exchanges with peers.
pub(crate) struct Exchange {
    equal: Counter,
    exchanged: Counter,
    error: Counter,
    sent: Counter,
    received: Counter,
    sent_bytes: Counter,
    received_bytes: Counter,
}

impl NodeMetrics {
    /// Registers everything.
    ///
    /// # Errors
    /// [`MetricError`] when a name is taken.
    pub(crate) fn register(metrics: &Metrics, buckets: &[Bucket]) -> Result<Self, MetricError> {
        Ok(Self {
            traffic: Traffic::register(metrics, buckets)?,
            storage: Storage::register(metrics)?,
            exchange: Exchange::register(metrics)?,
            merkle: Merkle::register(metrics)?,
            repairs: Repairs::register(metrics)?,
            siblings: metrics.histogram(
                "settle_siblings",
                "Versions found by reads of a key; more than one means concurrent writes.",
                vec![0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 25.0, 50.0, 100.0],
            )?,
            hints_replayed: metrics.counter(
                "settle_hints_replayed_total",
                "Log records handed to peers that asked for what they had missed.",
            )?,
            hints_dropped: HintsDropped::register(metrics)?,
            deltas_dropped: metrics.counter(
                "settle_deltas_dropped_total",
                "Writes not sent to a peer because its queue was full; exchanges bring them later.",
            )?,
            stamps_ahead: metrics.counter(
                "settle_stamps_ahead_total",
                "Stamps not adopted because they were more than a minute ahead of this node's wall clock.",
            )?,
        })
    }
}

impl HintsDropped {
    fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let dropped = metrics.counters(
            "settle_hints_dropped_total",
            "Log records dropped although a replica lacks their writes, by the bound that they were beyond: bytes \
             (hints.max_bytes) or age (hints.max_age). The replica has diverged then, until a full exchange.",
            ["reason"],
        )?;
        Ok(Self { bytes: dropped.with(["bytes"]), age: dropped.with(["age"]) })
    }

    /// Records were dropped.
    pub(crate) fn add(&self, reason: DropReason, records: u64) {
        match reason {
            DropReason::Bytes => self.bytes.inc_by(records),
            DropReason::Age => self.age.inc_by(records),
        }
    }
}

impl DropReason {
    /// The key in the configuration.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Bytes => "hints.max_bytes",
            Self::Age => "hints.max_age",
        }
    }
}

impl Traffic {
    fn register(metrics: &Metrics, buckets: &[Bucket]) -> Result<Self, MetricError> {
        let writes = metrics.counters(
            "settle_writes_total",
            "Writes of user buckets first taken in at this node, coordinated or applied.",
            ["bucket"],
        )?;
        let conflicts = metrics.counters(
            "settle_conflicts_total",
            "Pairs of concurrent versions that met at this node, by how their bucket resolves them.",
            ["bucket", "resolution"],
        )?;
        let users = buckets.iter().filter(|bucket| !bucket.is_reserved());
        let counters = users.map(|bucket| {
            let children =
                (writes.with([&bucket.name]), conflicts.with([&bucket.name, bucket.resolver.name()]));
            (bucket.name.clone(), children)
        });
        Ok(Self { buckets: counters.collect() })
    }

    /// Writes were taken in, coordinated here or applied. Reserved buckets are not counted.
    pub(crate) fn taken_in(&self, bucket: &str, fresh: u64, concurrent: u64) {
        if let Some((writes, conflicts)) = self.buckets.get(bucket) {
            writes.inc_by(fresh);
            conflicts.inc_by(concurrent);
        }
    }
}

impl Storage {
    fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        Ok(Self {
            sync_seconds: metrics.histogram(
                "settle_sync_duration_seconds",
                "Time for one group of changes to reach the disk.",
                lag_buckets(&[]),
            )?,
            errors: metrics
                .counter("settle_storage_errors_total", "Failed reads and writes of the storage.")?,
        })
    }

    pub(crate) fn committed(&self, group: &Committed<Staged>) {
        self.sync_seconds.observe(group.sync_duration.as_secs_f64());
    }
}

impl Exchange {
    fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let rounds = metrics.counters(
            "settle_anti_entropy_rounds_total",
            "Comparisons with a peer: nothing to fetch, something fetched, or ended by an error.",
            ["result"],
        )?;
        let entries = metrics.counters(
            "settle_anti_entropy_entries_total",
            "Entries exchanged, by direction.",
            ["direction"],
        )?;
        let bytes = metrics.counters(
            "settle_anti_entropy_bytes_total",
            "Bytes of questions and answers of exchanges and of verification, by direction.",
            ["direction"],
        )?;
        Ok(Self {
            equal: rounds.with(["equal"]),
            exchanged: rounds.with(["exchanged"]),
            error: rounds.with(["error"]),
            sent: entries.with(["sent"]),
            received: entries.with(["received"]),
            sent_bytes: bytes.with(["sent"]),
            received_bytes: bytes.with(["received"]),
        })
    }

    /// A round ended.
    pub(crate) fn round(&self, result: RoundResult) {
        match result {
            RoundResult::Equal => self.equal.inc(),
            RoundResult::Exchanged => self.exchanged.inc(),
            RoundResult::Error => self.error.inc(),
        }
    }

    /// Entries were handed to a peer.
    pub(crate) fn sent(&self, entries: usize) {
        self.sent.inc_by(entries as u64);
    }

    /// A question and its answer went over the network, in this or the other direction.
    pub(crate) fn moved(&self, sent_bytes: usize, received_bytes: usize) {
        self.sent_bytes.inc_by(sent_bytes as u64);
        self.received_bytes.inc_by(received_bytes as u64);
    }

    /// Entries were taken from a peer.
    pub(crate) fn received(&self, entries: usize) {
        self.received.inc_by(entries as u64);
    }
}

/// How a round of anti-entropy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundResult {
    /// Nothing was missing.
    Equal,
    /// Something was fetched.
    Exchanged,
    /// It ended early.
    Error,
}

/// Gauges that are computed when somebody looks.
struct State {
    lag: Gauges<1>,
    missing: Gauges<1>,
    hints: Gauges<1>,
    hints_age: Gauges<1>,
    up: Gauges<1>,
    round_trip: Gauges<1>,
    members: Gauges<1>,
    partitions: Gauges<1>,
    log_records: Gauge,
    keys: Gauge,
    storage_bytes: Gauge,
    layout_version: Gauge,
    layout_progress: Gauge,
    ready: Gauge,
}

/// Registers the gauges of `node`'s state.
///
/// # Errors
/// [`MetricError`] when a name is taken.
pub(crate) fn register_state(metrics: &Metrics, node: &Arc<Node>) -> Result<(), MetricError> {
    let state = State {
        lag: metrics.gauges(
            "settle_replication_lag_seconds",
            "Age of the proof that everything acknowledged through the peer is here; since the start if unproven.",
            ["peer"],
        )?,
        missing: metrics.gauges(
            "settle_replication_missing_writes",
            "Writes that the peer has and that are not durable here; NaN while the peer is down.",
            ["peer"],
        )?,
        hints: metrics.gauges(
            "settle_hints_pending",
            "Writes that this node keeps in its log because the peer is not known to have them; canaries are writes too.",
            ["peer"],
        )?,
        hints_age: metrics.gauges(
            "settle_hints_oldest_seconds",
            "Age of the oldest write that settle_hints_pending counts, exact within an eighth; 0 when there is none.",
            ["peer"],
        )?,
        up: metrics.gauges("settle_peer_up", "1 when the peer is connected and answers.", ["peer"])?,
        round_trip: metrics.gauges(
            "settle_peer_rtt_seconds",
            "Smoothed round trip of the echo to the peer.",
            ["peer"],
        )?,
        members: metrics.gauges("settle_members", "Nodes of the layout, this one included, by state.", ["state"])?,
        partitions: metrics.gauges(
            "settle_partitions",
            "Partitions held here, by state: syncing (a full exchange fills it), diverged (another replica lacks writes \
             that this node's log has dropped) or normal.",
            ["state"],
        )?,
        log_records: metrics.gauge("settle_log_records", "Log records kept for replicas that may lack them.")?,
        keys: metrics.gauge("settle_keys", "Live keys of user buckets held here.")?,
        storage_bytes: metrics.gauge("settle_storage_bytes", "Space that the storage takes on disk.")?,
        layout_version: metrics.gauge(
            "settle_layout_version",
            "Version of the layout, which says where data lies; during a change the old one's. NaN before it is known.",
        )?,
        layout_progress: metrics.gauge(
            "settle_layout_progress_ratio",
            "How far the change of the layout is, 0 to 1, by its steps and by the nodes that have acknowledged the \
             present one; 1 when nothing changes, NaN before a layout is known.",
        )?,
        ready: metrics.gauge("settle_ready", "1 when /readyz answers 200.")?,
    };
    let node = Arc::downgrade(node);
    metrics.on_scrape(Box::new(move || {
        if let Some(node) = node.upgrade() {
            state.refresh(&node);
        }
    }));
    Ok(())
}

impl State {
    fn refresh(&self, node: &Node) {
        let (mut alive, mut suspect, mut dead, mut unknown) = (1.0, 0.0, 0.0, 0.0);
        for status in node.peer_statuses() {
            let name = [status.name.as_str()];
            self.lag.with(name).set(status.lag.as_secs_f64());
            self.missing.with(name).set(status.missing.map_or(f64::NAN, |writes| writes as f64));
            self.hints.with(name).set(status.hints as f64);
            self.hints_age.with(name).set(status.hints_age.as_secs_f64());
            self.up.with(name).set(f64::from(u8::from(status.up)));
            self.round_trip.with(name).set(status.round_trip.map_or(f64::NAN, |time| time.as_secs_f64()));
            match status.state {
                "alive" => alive += 1.0,
                "suspect" => suspect += 1.0,
                "unknown" => unknown += 1.0,
                _ => dead += 1.0,
            }
        }
        for (state, count) in [("alive", alive), ("suspect", suspect), ("dead", dead), ("unknown", unknown)] {
            self.members.with([state]).set(count);
        }
        let totals = node.totals();
        let normal = totals.partitions - totals.syncing - totals.diverged;
        self.partitions.with(["normal"]).set(normal as f64);
        self.partitions.with(["syncing"]).set(totals.syncing as f64);
        self.partitions.with(["diverged"]).set(totals.diverged as f64);
        self.log_records.set(totals.log_records as f64);
        self.keys.set(totals.keys.map_or(f64::NAN, |keys| keys as f64));
        self.storage_bytes.set(totals.storage_bytes as f64);
        let version = node.standing().map_or(f64::NAN, |standing| standing.position.version as f64);
        self.layout_version.set(version);
        self.layout_progress.set(node.layout_progress());
        self.ready.set(f64::from(u8::from(node.readiness.is_ready())));
    }
}
