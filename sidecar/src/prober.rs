//! The prober: writes canaries through the own replica, reads them at the others, keeps the books.
//!
//! Every task is a [`settle_service::worker::Worker`]; what they share is the [`Board`], which holds
//! the pure judgement of `verdict` behind one lock and is never locked across an await.

mod board;
mod budget;
mod canary;
mod discovery;
mod judge;
mod peer;
mod ring;
mod sweep;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use settle_service::metrics::{MetricError, Metrics};
use settle_service::reload::Live;
use settle_service::worker::Workers;

use crate::clock;
use crate::config::{Config, ProberName};
use crate::metrics::{ProbeMetrics, Throttled};
use crate::target::{SettleTarget, TargetError};
use board::Board;
pub(crate) use board::{Distribution, Listener, ObjectiveState, PeerState, Snapshot, TargetState};
use budget::Budget;

/// How long one read or listing may take. A replica that hangs is asked again this often.
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// Tokens that the polls leave for writes and verdict reads.
const POLL_RESERVE: u32 = 5;

/// What all tasks of the prober share.
pub(crate) struct Prober {
    pub(crate) live: Live<Config>,
    pub(crate) target: SettleTarget,
    pub(crate) name: ProberName,
    /// Tells this run's canaries from those of earlier ones.
    pub(crate) run: u64,
    pub(crate) board: Board,
    budget: Budget,
    workers: Workers,
}

/// Everything measured, as `GET /v1/state` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    pub(crate) prober: String,
    pub(crate) interval_seconds: f64,
    pub(crate) deadline_seconds: f64,
    pub(crate) window_seconds: f64,
    /// Requests held back since the start, by reason.
    pub(crate) throttled: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    pub(crate) board: Snapshot,
}

// === impl Prober ===

impl Prober {
    /// Registers the metrics and starts all tasks; they run until the shutdown.
    pub(crate) fn start(
        live: &Live<Config>,
        registry: &Metrics,
        workers: &Workers,
    ) -> Result<Arc<Self>, MetricError> {
        let config = live.get();
        let run = rand::random();
        let prober = Arc::new(Self {
            live: live.clone(),
            target: SettleTarget::new(config.boot.admin.clone()),
            name: config.boot.name.clone().unwrap_or_else(|| ProberName::mint(run)),
            run,
            board: Board::new(live.clone(), ProbeMetrics::register(registry, &config)?),
            budget: Budget::new(config.probe.budget_per_second, clock::now()),
            workers: workers.clone(),
        });
        let quantiles = Arc::clone(&prober);
        prober.board.metrics.register_quantiles(move || quantiles.board.convergence_summary())?;
        let gauges = Arc::clone(&prober);
        registry.on_scrape(Box::new(move || gauges.board.refresh()));
        workers.spawn(discovery::Discovery::new(Arc::clone(&prober)));
        workers.spawn(canary::Writer::new(Arc::clone(&prober)));
        workers.spawn(judge::Judge::new(Arc::clone(&prober)));
        workers.spawn(sweep::Sweeper::new(Arc::clone(&prober)));
        workers.spawn(traffic::TrafficReader::new(Arc::clone(&prober)));
        Ok(prober)
    }

    /// Takes tokens from the budget, leaving `reserve`; else says how long to wait, and counts it.
    fn afford(&self, tokens: u32, reserve: u32) -> Result<(), Duration> {
        let per_second = self.live.load().probe.budget_per_second;
        self.budget
            .take(tokens, reserve, per_second, clock::now())
            .inspect_err(|_| self.board.metrics.throttled(Throttled::Budget))
    }

    /// Everything measured, at this moment.
    pub(crate) fn state(&self) -> State {
        let throttled =
            Throttled::ALL.map(|reason| (reason.name(), self.board.metrics.throttled_count(reason)));
        let config = self.live.get();
        State {
            prober: self.name.to_string(),
            interval_seconds: config.probe.interval.as_secs_f64(),
            deadline_seconds: config.probe.deadline.as_secs_f64(),
            window_seconds: config.probe.window.as_secs_f64(),
            throttled: throttled.into(),
            board: self.board.snapshot(),
        }
    }

    /// The key of one of this prober's slots.
    fn key(&self, slot: u32) -> String {
        ring::key(&self.name, slot)
    }
}

/// A short text of an error, counted when it asks for less load.
fn noted(prober: &Prober, error: &TargetError) -> String {
    if error.is_shedding() {
        prober.board.metrics.throttled(Throttled::Shedding);
    }
    error.to_string()
}
