//! What the board shows as metrics: gauges that are computed when somebody looks, and the judgement
//! of every objective.

use std::time::Instant;

use settle_service::metrics::SummaryValues;

use super::{Board, State};
use crate::clock;
use crate::config::{Config, Objective};
use crate::window::{Quantiles, ratio};

/// A ratio or quantile over fewer samples is shown, but not judged.
const SAMPLES_MIN: u64 = 10;

/// One objective at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    /// What is compared with the threshold; nothing while it is unknown.
    pub(crate) value: Option<f64>,
    /// The samples that it rests on.
    pub(crate) samples: u64,
    /// Nothing while the value is unknown; too few samples are no breach.
    pub(crate) breached: Option<bool>,
}

// === impl Board ===

impl Board {
    /// Sets every gauge to what is true now.
    pub(crate) fn refresh(&self) {
        let (now, config) = (clock::now(), self.live.get());
        let mut state = self.locked();
        for peer in state.peers.values() {
            let lag = peer.ledger.lag(now).map(|lag| lag.as_secs_f64());
            peer.metrics.lag.set(lag.unwrap_or(f64::NAN));
            peer.metrics.up.set(peer.up.map_or(f64::NAN, |up| f64::from(u8::from(up))));
        }
        for objective in Objective::ALL {
            let judged = state.judge(objective, now, &config);
            self.metrics.objective.show(objective, config.thresholds.of(objective), judged.breached);
        }
        self.metrics.target_up.set(state.own.up().map_or(f64::NAN, |up| f64::from(u8::from(up))));
        let window = config.probe.window;
        let stale = ratio(state.books.stale.totals(now, window));
        self.metrics.stale_ratio.set(stale.unwrap_or(f64::NAN));
        let conflicts = state.books.traffic.ratio(now, window);
        self.metrics.conflict_ratio.set(conflicts.unwrap_or(f64::NAN));
        #[expect(clippy::cast_precision_loss, reason = "clusters have fewer than 2^53 nodes")]
        let peers = state.peers.len() as f64;
        self.metrics.peers.set(if state.layout.is_some() { peers } else { f64::NAN });
    }

    /// Quantiles of convergence over the window; sum and count since the start.
    pub(crate) fn convergence_summary(&self) -> SummaryValues {
        let window = self.probe().window;
        let quantiles = self.locked().books.convergence.quantiles(clock::now(), window);
        let at = |pick: fn(&Quantiles) -> f64| quantiles.as_ref().map_or(f64::NAN, pick);
        SummaryValues {
            quantiles: vec![(0.5, at(|all| all.p50)), (0.95, at(|all| all.p95)), (0.99, at(|all| all.p99))],
            sum: self.metrics.convergence.get_sample_sum(),
            count: self.metrics.convergence.get_sample_count(),
        }
    }
}

// === impl State ===

impl State {
    /// Compares one objective with its threshold: lag at once, ratios and quantiles over the window.
    pub(super) fn judge(&mut self, objective: Objective, now: Instant, config: &Config) -> Judged {
        let window = config.probe.window;
        // One peer above the threshold is enough, and so is one look at it.
        let at_once = objective == Objective::ReplicationLag;
        let (value, samples) = match objective {
            Objective::ReplicationLag => (self.lags(now).reduce(f64::max), self.lags(now).count() as u64),
            Objective::StaleReadRate => {
                let totals = self.books.stale.totals(now, window);
                (ratio(totals), totals.0)
            }
            Objective::ConflictRate => {
                let (writes, _) = self.books.traffic.totals(now, window);
                (self.books.traffic.ratio(now, window), writes)
            }
            Objective::ConvergenceP99 => {
                let quantiles = self.books.convergence.quantiles(now, window);
                (quantiles.map(|all| all.p99), quantiles.map_or(0, |all| all.count as u64))
            }
            // See `Objective::is_measured`.
            Objective::ReadInconsistencyRate | Objective::ClockOffset => (None, 0),
        };
        let enough = at_once || samples >= SAMPLES_MIN;
        let above = |value: f64| enough && value > config.thresholds.of(objective);
        Judged { value, samples, breached: value.map(above) }
    }

    fn lags(&self, now: Instant) -> impl Iterator<Item = f64> {
        self.peers.values().filter_map(move |peer| Some(peer.ledger.lag(now)?.as_secs_f64()))
    }
}
