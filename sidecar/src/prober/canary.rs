//! Writes one canary per interval through the own replica.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settle_service::worker::{Next, Worker};
use settle_wire::http::Base;

use super::ring::Value;
use super::{Prober, noted, sweep};
use crate::clock;
use crate::config::Probe;

/// How long a write may take, if the deadline of canaries is not shorter.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// How long to wait for the peers to be discovered, or for own old keys to be swept, before looking again.
const START_PAUSE: Duration = Duration::from_millis(50);

/// A connection unused for longer is used once before a measurement, in case it must be opened.
const COLD_AFTER: Duration = Duration::from_secs(10);

/// Requests that one canary will need at each peer: it is not written if they cannot be afforded.
const TOKENS_PER_PEER: u32 = 3;

/// Intervals that are skipped at most while the own replica sheds load, as a power of two.
const SHED_DOUBLINGS_MAX: u32 = 4;

/// See the module.
pub(super) struct Writer {
    prober: Arc<Prober>,
    /// When the next canary is due.
    next: Instant,
    /// Whether the keys that an earlier run left under this name are gone.
    swept: bool,
    written: Option<Instant>,
    /// Writes in a row that were refused because of load.
    shed: u32,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        // Probers that were started together must not march in step.
        let next = clock::now() + prober.live.load().probe.interval.mul_f64(rand::random::<f64>());
        Self { prober, next, swept: false, written: None, shed: 0 }
    }

    async fn cycle(&mut self, own: &Base, probe: Probe) {
        let peers = u32::try_from(self.prober.board.peer_count().min(probe.peers_per_cycle));
        let tokens = TOKENS_PER_PEER.saturating_mul(peers.unwrap_or(u32::MAX)).saturating_add(1);
        if self.prober.afford(1, tokens.min(probe.budget_per_second / 2)).is_err() {
            return;
        }
        let cold = self.written.is_none_or(|written| written.elapsed() > COLD_AFTER);
        if cold {
            // Only the connection matters; a failure will show in the write.
            let _warmed = self.prober.target.read(own, &self.prober.key(0), super::READ_DEADLINE).await;
        }
        self.write(own, probe).await;
        self.written = Some(clock::now());
        self.prober.board.metrics.last_cycle.set(clock::wall_seconds());
    }

    async fn write(&mut self, own: &Base, probe: Probe) {
        let Prober { board, target, run, .. } = &*self.prober;
        let silent_after = sweep::silent_after(&probe);
        let canary = board.begin(clock::now(), silent_after);
        let value = Value { run: *run, seq: canary.seq, silent_after }.encode();
        let deadline = WRITE_DEADLINE.min(probe.deadline);
        match target.write(own, &self.prober.key(canary.slot), value, deadline).await {
            Ok(answer) => {
                self.shed = 0;
                for peer in board.acknowledge(&canary, answer.done) {
                    let after = probe.interval.mul_f64(rand::random::<f64>());
                    board.schedule_verdict(&peer, &canary, answer.done + after);
                }
            }
            Err(error) => {
                board.abort(&canary);
                self.shed = if error.is_shedding() { (self.shed + 1).min(SHED_DOUBLINGS_MAX) } else { 0 };
                let error = noted(&self.prober, &error);
                tracing::warn!(error, seq = canary.seq, "canary not acknowledged");
            }
        }
    }

    /// The interval, longer while the own replica sheds load.
    fn pause(&self, probe: &Probe) -> Duration {
        probe.interval.saturating_mul(1 << self.shed)
    }
}

impl Worker for Writer {
    type Error = Infallible;

    fn name(&self) -> &str {
        "canary"
    }

    async fn work(&mut self) -> Result<Next, Infallible> {
        if clock::now() < self.next {
            return Ok(Next::Wait);
        }
        let Some(layout) = self.prober.board.layout() else {
            self.next = clock::now() + START_PAUSE;
            return Ok(Next::Wait);
        };
        if !self.swept {
            self.swept = sweep::sweep_own(&self.prober, &layout.own.api).await;
            self.next = clock::now() + START_PAUSE;
            return Ok(Next::Wait);
        }
        let probe = self.prober.live.load().probe;
        self.cycle(&layout.own.api, probe).await;
        // What was missed while a write took long is not made up for.
        self.next = (self.next + self.pause(&probe)).max(clock::now());
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        clock::sleep_until(self.next).await;
    }
}
