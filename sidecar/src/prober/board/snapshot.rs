//! The board as one JSON document. What is unknown is `null`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::own::TargetState;
use super::peers::Peer;
use super::{Board, State};
use crate::clock;
use crate::config::{Config, Objective};
use crate::window::{Quantiles, Samples, ratio};

/// See the module. All times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) target: TargetState,
    pub(crate) cluster: Option<String>,
    /// The own replica's name.
    pub(crate) own: Option<String>,
    pub(crate) uptime_seconds: f64,
    pub(crate) peers: Vec<PeerState>,
    pub(crate) convergence_seconds: Distribution,
    pub(crate) stale_read_ratio: Option<f64>,
    pub(crate) conflict_ratio: Option<f64>,
    /// Real traffic at the own replica within the window.
    pub(crate) traffic: TrafficState,
    pub(crate) canary_keys: Option<f64>,
    pub(crate) canaries: CanaryState,
    pub(crate) objectives: Vec<ObjectiveState>,
    pub(crate) regressions: u64,
}

/// One peer.
#[derive(Debug, Serialize)]
pub(crate) struct PeerState {
    pub(crate) name: String,
    /// Nothing while it is not known.
    pub(crate) api: Option<String>,
    /// Whether the last read was answered.
    pub(crate) up: Option<bool>,
    pub(crate) last_error: Option<String>,
    pub(crate) lag_seconds: Option<f64>,
    pub(crate) visibility_seconds: Distribution,
    pub(crate) resolution_seconds: Distribution,
    pub(crate) stale_read_ratio: Option<f64>,
    /// Since the start, by outcome.
    pub(crate) canaries: Outcomes,
    /// Verdict reads since the start, by result.
    pub(crate) reads: Reads,
}

/// Samples of the window.
#[derive(Debug, Serialize)]
pub(crate) struct Distribution {
    pub(crate) count: usize,
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Outcomes {
    pub(crate) converged: u64,
    pub(crate) expired: u64,
    pub(crate) unreachable: u64,
    pub(crate) aborted: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Reads {
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    pub(crate) missing: u64,
    pub(crate) error: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct TrafficState {
    pub(crate) writes: u64,
    pub(crate) conflicts: u64,
}

/// Canaries over all peers, since the start.
#[derive(Debug, Serialize)]
pub(crate) struct CanaryState {
    pub(crate) written: u64,
    pub(crate) acknowledged: u64,
    pub(crate) aborted: u64,
    /// Shown by every peer in time.
    pub(crate) converged: u64,
    /// Not shown by every peer by the deadline.
    pub(crate) incomplete: u64,
    pub(crate) under_way: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct ObjectiveState {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) threshold: f64,
    pub(crate) value: Option<f64>,
    pub(crate) samples: u64,
    /// Nothing while it is unknown, and always for what is not measured.
    pub(crate) breached: Option<bool>,
    /// `within`, `breached`, `unknown`, or that it is not measured by this version.
    pub(crate) status: &'static str,
}

// === impl Board ===

impl Board {
    /// Everything at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (now, config) = (clock::now(), self.live.get());
        let keys = self.metrics.canary_keys.get();
        let mut state = self.locked();
        let window = config.probe.window;
        let (writes, conflicts) = state.books.traffic.totals(now, window);
        Snapshot {
            target: state.target(config.boot.admin.to_string(), now),
            cluster: state.layout.as_ref().map(|layout| layout.cluster.clone()),
            own: state.layout.as_ref().map(|layout| layout.own.name.clone()),
            uptime_seconds: now.saturating_duration_since(state.started).as_secs_f64(),
            peers: state.peers.iter_mut().map(|(name, peer)| peer.state(name, now, window)).collect(),
            convergence_seconds: Distribution::of(&mut state.books.convergence, now, window),
            stale_read_ratio: ratio(state.books.stale.totals(now, window)),
            conflict_ratio: state.books.traffic.ratio(now, window),
            traffic: TrafficState { writes, conflicts },
            canary_keys: (!keys.is_nan()).then_some(keys),
            canaries: state.canaries(),
            objectives: state.objectives(now, &config),
            regressions: self.metrics.regressions.get(),
        }
    }
}

// === impl State ===

impl State {
    fn canaries(&self) -> CanaryState {
        let tally = &self.books.tally;
        CanaryState {
            written: tally.written,
            acknowledged: tally.acknowledged,
            aborted: tally.aborted,
            converged: tally.converged,
            incomplete: tally.incomplete,
            under_way: self.books.under_way(),
        }
    }

    fn objectives(&mut self, now: Instant, config: &Config) -> Vec<ObjectiveState> {
        Objective::ALL
            .into_iter()
            .map(|objective| {
                let judged = self.judge(objective, now, config);
                ObjectiveState {
                    name: objective.name(),
                    unit: objective.unit(),
                    threshold: config.thresholds.of(objective),
                    value: judged.value,
                    samples: judged.samples,
                    breached: judged.breached,
                    status: status(objective, judged.breached),
                }
            })
            .collect()
    }
}

fn status(objective: Objective, breached: Option<bool>) -> &'static str {
    match breached {
        None if !objective.is_measured() => "not measured by this version",
        None => "unknown",
        Some(false) => "within",
        Some(true) => "breached",
    }
}

// === impl Peer ===

impl Peer {
    fn state(&mut self, name: &str, now: Instant, window: Duration) -> PeerState {
        let metrics = &self.metrics;
        let canaries = Outcomes {
            converged: metrics.converged.get(),
            expired: metrics.expired.get(),
            unreachable: metrics.unreachable.get(),
            aborted: metrics.aborted.get(),
        };
        let reads = Reads {
            fresh: metrics.fresh.get(),
            stale: metrics.stale.get(),
            missing: metrics.missing.get(),
            error: metrics.error.get(),
        };
        PeerState {
            name: name.to_owned(),
            api: self.api.as_ref().ok().map(ToString::to_string),
            up: self.up,
            last_error: self.last_error.clone(),
            lag_seconds: self.ledger.lag(now).map(|lag| lag.as_secs_f64()),
            visibility_seconds: Distribution::of(&mut self.visibility, now, window),
            resolution_seconds: Distribution::of(&mut self.resolution, now, window),
            stale_read_ratio: ratio(self.stale.totals(now, window)),
            canaries,
            reads,
        }
    }
}

// === impl Distribution ===

impl Distribution {
    fn of(samples: &mut Samples, now: Instant, window: Duration) -> Self {
        let quantiles = samples.quantiles(now, window);
        let pick = |pick: fn(Quantiles) -> f64| quantiles.map(pick);
        Self {
            count: quantiles.map_or(0, |all| all.count),
            p50: pick(|all| all.p50),
            p95: pick(|all| all.p95),
            p99: pick(|all| all.p99),
        }
    }
}
