//! Thresholds, breaches, and the samples judged against them.

use settle_service::metrics::{Counters, Gauges, MetricError, Metrics};

use crate::config::{Objective, Thresholds};

/// The families with the label `objective`, all series present from the start.
pub(crate) struct ObjectiveMetrics {
    threshold: Gauges<2>,
    breached: Gauges<1>,
    samples: Counters<1>,
    bad: Counters<1>,
}

// === impl ObjectiveMetrics ===

impl ObjectiveMetrics {
    pub(super) fn register(registry: &Metrics, thresholds: &Thresholds) -> Result<Self, MetricError> {
        let metrics = Self {
            threshold: registry.gauges(
                "settle_probe_threshold",
                "The configured threshold of an objective, in its unit.",
                ["objective", "unit"],
            )?,
            breached: registry.gauges(
                "settle_probe_threshold_breached",
                "1 while the objective is above its threshold, 0 while it is not or has too few samples, \
                 NaN while it is unknown, and always for read_inconsistency_rate and clock_offset, which this \
                 version does not measure.",
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
        };
        for objective in Objective::ALL {
            metrics.show(objective, thresholds.of(objective), None);
            metrics.count(objective, 0, 0);
        }
        Ok(metrics)
    }

    /// Counts samples of an objective, and how many of them were above the threshold.
    pub(crate) fn count(&self, objective: Objective, samples: u64, bad: u64) {
        self.samples.with([objective.name()]).inc_by(samples);
        self.bad.with([objective.name()]).inc_by(bad);
    }

    /// Shows an objective's threshold and whether it is breached, if that is known.
    pub(crate) fn show(&self, objective: Objective, threshold: f64, breached: Option<bool>) {
        self.threshold.with([objective.name(), objective.unit()]).set(threshold);
        self.breached.with([objective.name()]).set(breached.map_or(f64::NAN, |yes| f64::from(u8::from(yes))));
    }
}
