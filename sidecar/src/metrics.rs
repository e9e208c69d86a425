//! The metrics of the prober, beside what the service registers itself.

use settle_service::metrics::{
    Counter, Counters, Gauge, Gauges, Histogram, Histograms, MetricError, Metrics, SummaryValues, lag_buckets,
};

use crate::config::{Config, Objective};

/// Bounds below the usual ones, for how finely visibility is known, in seconds.
const FINE_BOUNDS: [f64; 3] = [0.0001, 0.00025, 0.0005];

/// All metrics of the prober. Series of a peer exist from the moment at which it becomes a target.
pub(crate) struct ProbeMetrics {
    registry: Metrics,
    lag: Gauges<1>,
    visibility: Histograms<1>,
    resolution: Histograms<1>,
    canaries: Counters<2>,
    reads: Counters<2>,
    up: Gauges<1>,
    regressions: Counter,
    throttled: Counters<1>,
    threshold: Gauges<2>,
    breached: Gauges<1>,
    samples: Counters<1>,
    bad: Counters<1>,
    pub(crate) convergence: Histogram,
    pub(crate) stale_ratio: Gauge,
    pub(crate) conflict_ratio: Gauge,
    pub(crate) canary_keys: Gauge,
    pub(crate) peers: Gauge,
    pub(crate) last_cycle: Gauge,
}

/// The series of one peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerMetrics {
    pub(crate) lag: Gauge,
    pub(crate) visibility: Histogram,
    pub(crate) resolution: Histogram,
    pub(crate) up: Gauge,
    pub(crate) converged: Counter,
    pub(crate) expired: Counter,
    pub(crate) unreachable: Counter,
    pub(crate) aborted: Counter,
    pub(crate) fresh: Counter,
    pub(crate) stale: Counter,
    pub(crate) missing: Counter,
    pub(crate) error: Counter,
}

/// Why the prober held back a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttled {
    /// The budget is used up.
    Budget,
    /// An earlier request to the same peer is still under way.
    InFlight,
    /// The target asked for less load.
    Shedding,
}

// === impl ProbeMetrics ===

impl ProbeMetrics {
    pub(crate) fn register(registry: &Metrics, config: &Config) -> Result<Self, MetricError> {
        let thresholds = &config.thresholds;
        let extra = [
            thresholds.replication_lag.as_secs_f64(),
            thresholds.convergence_p99.as_secs_f64(),
            config.probe.deadline.as_secs_f64(),
        ];
        let bounds = lag_buckets(&extra);
        let fine = lag_buckets(&[extra.as_slice(), FINE_BOUNDS.as_slice()].concat());
        let metrics = Self {
            registry: registry.clone(),
            lag: registry.gauges(
                "settle_probe_replication_lag_seconds",
                "Age of the oldest acknowledged canary that the peer has not been seen to reflect; 0 when there is none.",
                ["peer"],
            )?,
            visibility: registry.histograms(
                "settle_probe_visibility_seconds",
                "From the start of a canary's write to the end of the first read that showed it at the peer; the deadline when none did.",
                bounds.clone(),
                ["peer"],
            )?,
            resolution: registry.histograms(
                "settle_probe_resolution_seconds",
                "How finely visibility is known: from the start of the last read that missed to the end of the first that showed.",
                fine,
                ["peer"],
            )?,
            canaries: registry.counters(
                "settle_probe_canaries_total",
                "Canaries by how they ended at the peer: converged, expired (not shown by the deadline), unreachable (no answer by the deadline), aborted (not acknowledged, or the peer left).",
                ["peer", "outcome"],
            )?,
            reads: registry.counters(
                "settle_probe_reads_total",
                "Verdict reads at the peer: fresh, stale (an older value), missing (none), error (no answer).",
                ["peer", "result"],
            )?,
            up: registry.gauges("settle_probe_peer_up", "1 when the last read at the peer was answered.", ["peer"])?,
            regressions: registry
                .counters(
                    "settle_probe_guarantee_violations_total",
                    "Broken promises seen from outside: monotonic_reads (an old value after a newer one at the same peer).",
                    ["guarantee"],
                )?
                .with(["monotonic_reads"]),
            throttled: registry.counters(
                "settle_probe_throttled_total",
                "Requests held back: budget (used up), in_flight (an earlier one is not answered), shedding (the target asked for less).",
                ["reason"],
            )?,
            threshold: registry.gauges(
                "settle_probe_threshold",
                "The configured threshold of an objective, in its unit.",
                ["objective", "unit"],
            )?,
            breached: registry.gauges(
                "settle_probe_threshold_breached",
                "1 while the objective is above its threshold, NaN while it is unknown.",
                ["objective"],
            )?,
            samples: registry.counters(
                "settle_probe_objective_samples_total",
                "Samples judged against the objective's threshold.",
                ["objective"],
            )?,
            bad: registry.counters(
                "settle_probe_objective_bad_total",
                "Samples above the objective's threshold.",
                ["objective"],
            )?,
            convergence: registry.histogram(
                "settle_probe_convergence_seconds",
                "From the start of a canary's write until the last replica showed it; the deadline when one did not.",
                bounds,
            )?,
            stale_ratio: registry.gauge(
                "settle_probe_stale_read_ratio",
                "The part of verdict reads in the window that returned less than had been acknowledged before they began.",
            )?,
            conflict_ratio: registry.gauge(
                "settle_probe_conflict_ratio",
                "Conflicts per write of real traffic taken in at the own replica, over the window.",
            )?,
            canary_keys: registry
                .gauge("settle_probe_canary_keys", "Canary keys that exist, of all probers, as the own replica lists them.")?,
            peers: registry.gauge("settle_probe_peers", "Other replicas in the layout.")?,
            last_cycle: registry.gauge(
                "settle_probe_last_cycle_timestamp_seconds",
                "When the last probe cycle ended, in seconds since the epoch.",
            )?,
        };
        metrics.start(config);
        Ok(metrics)
    }

    /// Registers the quantiles of convergence, which `read` computes at every scrape.
    pub(crate) fn register_quantiles(
        &self,
        read: impl Fn() -> SummaryValues + Send + Sync + 'static,
    ) -> Result<(), MetricError> {
        self.registry.summary(
            "settle_probe_convergence_quantile_seconds",
            "Quantiles of convergence over the window, NaN while it is empty; sum and count since the start.",
            read,
        )
    }

    /// The series of a new peer, all at 0 or NaN.
    pub(crate) fn peer(&self, name: &str) -> PeerMetrics {
        let canaries = |outcome| self.canaries.with([name, outcome]);
        let reads = |result| self.reads.with([name, result]);
        let peer = PeerMetrics {
            lag: self.lag.with([name]),
            visibility: self.visibility.with([name]),
            resolution: self.resolution.with([name]),
            up: self.up.with([name]),
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

    /// Drops the series of a peer that left the layout.
    pub(crate) fn remove_peer(&self, name: &str) {
        self.registry.remove_series("peer", name);
    }

    pub(crate) fn regressed(&self) {
        self.regressions.inc();
    }

    /// Old values seen after newer ones.
    pub(crate) fn regressions(&self) -> u64 {
        self.regressions.get()
    }

    pub(crate) fn throttled(&self, reason: Throttled) {
        self.throttled.with([reason.name()]).inc();
    }

    /// Requests held back for this reason.
    pub(crate) fn throttled_count(&self, reason: Throttled) -> u64 {
        self.throttled.with([reason.name()]).get()
    }

    /// Counts samples of an objective, and how many of them were above the threshold.
    pub(crate) fn judged(&self, objective: Objective, samples: u64, bad: u64) {
        self.samples.with([objective.name()]).inc_by(samples);
        self.bad.with([objective.name()]).inc_by(bad);
    }

    /// Shows an objective's threshold and whether it is breached, if that is known.
    pub(crate) fn objective(&self, objective: Objective, threshold: f64, breached: Option<bool>) {
        self.threshold.with([objective.name(), objective.unit()]).set(threshold);
        self.breached.with([objective.name()]).set(breached.map_or(f64::NAN, |yes| f64::from(u8::from(yes))));
    }

    /// Brings every series into being whose labels are known.
    fn start(&self, config: &Config) {
        for objective in Objective::ALL {
            self.objective(objective, config.thresholds.of(objective), None);
            self.judged(objective, 0, 0);
        }
        for reason in Throttled::ALL {
            self.throttled.with([reason.name()]);
        }
    }
}

// === impl Throttled ===

impl Throttled {
    pub(crate) const ALL: [Self; 3] = [Self::Budget, Self::InFlight, Self::Shedding];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::InFlight => "in_flight",
            Self::Shedding => "shedding",
        }
    }
}
