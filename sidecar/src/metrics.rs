//! The metrics of the prober, beside what the service registers itself.

mod objective;
mod peer;

use settle_service::metrics::{
    Counter, Counters, Gauge, Histogram, MetricError, Metrics, SummaryValues, lag_buckets,
};

use crate::config::Config;
use objective::ObjectiveMetrics;
use peer::PeerFamilies;
pub(crate) use peer::PeerMetrics;

/// All metrics of the prober.
pub(crate) struct ProbeMetrics {
    registry: Metrics,
    peer: PeerFamilies,
    pub(crate) objective: ObjectiveMetrics,
    pub(crate) convergence: Histogram,
    pub(crate) stale_ratio: Gauge,
    pub(crate) conflict_ratio: Gauge,
    pub(crate) canary_keys: Gauge,
    /// Whether the own replica answers and takes canaries.
    pub(crate) target_up: Gauge,
    pub(crate) peers: Gauge,
    pub(crate) last_cycle: Gauge,
    /// Old values seen after newer ones.
    pub(crate) regressions: Counter,
    throttled: Counters<1>,
}

/// Why the prober held back a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttled {
    /// The budget is used up.
    Budget,
    /// Too many verdict reads of the same peer are under way or wait, or this process came too late to
    /// make one at its random time.
    InFlight,
    /// A replica, the own one or a peer, asked for less load.
    Shedding,
}

// === impl ProbeMetrics ===

impl ProbeMetrics {
    /// Bounds of the histograms include the thresholds and the deadline configured now.
    pub(crate) fn register(registry: &Metrics, config: &Config) -> Result<Self, MetricError> {
        let thresholds = &config.thresholds;
        let extra = [thresholds.replication_lag, thresholds.convergence_p99, config.probe.deadline]
            .map(|bound| bound.as_secs_f64());
        let metrics = Self {
            registry: registry.clone(),
            peer: PeerFamilies::register(registry, &extra)?,
            objective: ObjectiveMetrics::register(registry, thresholds)?,
            convergence: registry.histogram(
                "settle_probe_convergence_seconds",
                "From the start of a canary's write until the last of its replicas showed it; the deadline \
                 when one did not.",
                lag_buckets(&extra),
            )?,
            stale_ratio: registry.gauge(
                "settle_probe_stale_read_ratio",
                "The part of verdict reads in the window that returned less than had been acknowledged \
                 before they began.",
            )?,
            conflict_ratio: registry.gauge(
                "settle_probe_conflict_ratio",
                "Conflicts per write of real traffic taken in at the own replica, over the window.",
            )?,
            canary_keys: registry.gauge(
                "settle_probe_canary_keys",
                "Canary keys of all probers, as the own replica lists them.",
            )?,
            target_up: registry.gauge(
                "settle_probe_target_up",
                "1 when the own replica answered the last question at target.admin and acknowledged the last \
                 canary, 0 when it did not.",
            )?,
            peers: registry.gauge("settle_probe_peers", "Other replicas in the layout.")?,
            last_cycle: registry.gauge(
                "settle_probe_last_cycle_timestamp_seconds",
                "When the last probe cycle ended, in seconds since the epoch.",
            )?,
            regressions: violations(registry)?,
            throttled: registry.counters(
                "settle_probe_throttled_total",
                "Requests held back or turned away: budget (used up), in_flight (verdict reads: too many of \
                 the peer under way or waiting, or the sidecar itself late by more than 50 ms), shedding (a \
                 replica answered 429 or 503).",
                ["reason"],
            )?,
        };
        for reason in Throttled::ALL {
            metrics.throttled.with([reason.name()]);
        }
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

    /// The series of a new peer.
    pub(crate) fn peer(&self, name: &str) -> PeerMetrics {
        self.peer.of(name)
    }

    /// Drops the series of a peer that left the layout.
    pub(crate) fn remove_peer(&self, name: &str) {
        self.registry.remove_series("peer", name);
    }

    pub(crate) fn throttled(&self, reason: Throttled) {
        self.throttled.with([reason.name()]).inc();
    }

    /// Requests held back for this reason.
    pub(crate) fn throttled_count(&self, reason: Throttled) -> u64 {
        self.throttled.with([reason.name()]).get()
    }
}

fn violations(registry: &Metrics) -> Result<Counter, MetricError> {
    let family = registry.counters(
        "settle_probe_guarantee_violations_total",
        "Broken promises seen from outside: monotonic_reads (an old value after a newer one at a peer).",
        ["guarantee"],
    )?;
    Ok(family.with(["monotonic_reads"]))
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
