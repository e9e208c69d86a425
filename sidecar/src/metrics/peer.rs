//! The series of each peer. They exist from the moment at which it becomes a target until it leaves
//! the layout.

use settle_service::metrics::{
    Counter, Counters, Gauge, Gauges, Histogram, Histograms, MetricError, Metrics, lag_buckets,
};

/// Bounds below the usual ones, for how finely visibility is known, in seconds.
const FINE_BOUNDS: [f64; 3] = [0.0001, 0.00025, 0.0005];

/// The families with the label `peer`.
pub(super) struct PeerFamilies {
    lag: Gauges<1>,
    up: Gauges<1>,
    visibility: Histograms<1>,
    resolution: Histograms<1>,
    canaries: Counters<2>,
    reads: Counters<2>,
}

/// The series of one peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerMetrics {
    pub(crate) lag: Gauge,
    pub(crate) up: Gauge,
    pub(crate) visibility: Histogram,
    pub(crate) resolution: Histogram,
    pub(crate) converged: Counter,
    pub(crate) expired: Counter,
    pub(crate) unreachable: Counter,
    pub(crate) aborted: Counter,
    pub(crate) fresh: Counter,
    pub(crate) stale: Counter,
    pub(crate) missing: Counter,
    pub(crate) error: Counter,
}

// === impl PeerFamilies ===

impl PeerFamilies {
    /// `extra` are bounds of the histograms besides the usual ones, in seconds.
    pub(super) fn register(registry: &Metrics, extra: &[f64]) -> Result<Self, MetricError> {
        Ok(Self {
            lag: registry.gauges(
                "settle_probe_replication_lag_seconds",
                "Age of the oldest acknowledged canary that the peer has not been seen to reflect; \
                 0 when there is none.",
                ["peer"],
            )?,
            up: registry.gauges(
                "settle_probe_peer_up",
                "1 when the last read at the peer was answered, 0 when it was not.",
                ["peer"],
            )?,
            visibility: registry.histograms(
                "settle_probe_visibility_seconds",
                "From the start of a canary's write to the end of the first read that showed it at the \
                 peer; the deadline when none did.",
                lag_buckets(extra),
                ["peer"],
            )?,
            resolution: registry.histograms(
                "settle_probe_resolution_seconds",
                "How finely visibility is known: from the start of the last read that missed a canary to \
                 the end of the first that showed it.",
                lag_buckets(&[extra, &FINE_BOUNDS].concat()),
                ["peer"],
            )?,
            canaries: registry.counters(
                "settle_probe_canaries_total",
                "Canaries by how they ended at the peer: converged, expired (answers without it until the \
                 deadline), unreachable (no answer until the deadline), aborted (never acknowledged).",
                ["peer", "outcome"],
            )?,
            reads: registry.counters(
                "settle_probe_reads_total",
                "Verdict reads at the peer: fresh, stale (an older value), missing (no value), error (no \
                 answer).",
                ["peer", "result"],
            )?,
        })
    }

    /// The series of a new peer, all at 0 or NaN.
    pub(super) fn of(&self, name: &str) -> PeerMetrics {
        let canaries = |outcome| self.canaries.with([name, outcome]);
        let reads = |result| self.reads.with([name, result]);
        let peer = PeerMetrics {
            lag: self.lag.with([name]),
            up: self.up.with([name]),
            visibility: self.visibility.with([name]),
            resolution: self.resolution.with([name]),
            converged: canaries("converged"),
            expired: canaries("expired"),
            unreachable: canaries("unreachable"),
            aborted: canaries("aborted"),
            fresh: reads("fresh"),
            stale: reads("stale"),
            missing: reads("missing"),
            error: reads("error"),
        };
        peer.lag.set(f64::NAN);
        peer.up.set(f64::NAN);
        peer
    }
}
