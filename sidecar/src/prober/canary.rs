//! Writes one canary per interval through the own replica.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settle_service::worker::{Next, Worker};
use settle_wire::http::Base;

use super::ring::Value;
use super::{Listener, Prober, noted, sweep};
use crate::clock;
use crate::config::Probe;

/// How long a write may take, if the deadline of canaries is not shorter.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// How long to wait for the peers to be discovered, or for own old keys to be swept, before looking again.
const START_PAUSE: Duration = Duration::from_millis(50);

/// How soon a shorter interval takes effect.
const RECONSIDER: Duration = Duration::from_secs(1);

/// A connection unused for longer is used once before a measurement, in case it must be opened.
const COLD_AFTER: Duration = Duration::from_secs(10);

/// Requests that one canary will need at each peer: it is not written if they cannot be afforded.
const TOKENS_PER_PEER: u32 = 3;

/// Intervals that are skipped at most while the own replica sheds load, as a power of two.
const SHED_DOUBLINGS_MAX: u32 = 4;

/// See the module.
pub(super) struct Writer {
    prober: Arc<Prober>,
    /// When the last canary was due; the next one is an interval later.
    last: Instant,
    /// Not before this, while something is still to be done first.
    not_before: Instant,
    /// Whether the keys that an earlier run left under this name are gone.
    swept: bool,
    written: Option<Instant>,
    /// Writes in a row that were refused because of load.
    shed: u32,
    /// Canaries that were not acknowledged.
    trouble: Trouble,
    /// Attempts to delete those keys.
    sweeping: Trouble,
}

/// Failures in a row. The log says why once, again when it changes, and when it is over.
#[derive(Debug, Default)]
struct Trouble {
    reason: Option<String>,
    failures: u64,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        // Probers that were started together must not march in step.
        let interval = prober.live.load().probe.interval;
        let now = clock::now();
        let last = now.checked_sub(interval.mul_f64(rand::random::<f64>())).unwrap_or(now);
        Self {
            prober,
            last,
            not_before: now,
            swept: false,
            written: None,
            shed: 0,
            trouble: Trouble::default(),
            sweeping: Trouble::default(),
        }
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
        let Some(canary) = board.begin(clock::now(), silent_after) else {
            let reason = "the own replica holds no key of the ring";
            if self.trouble.is_news(reason) {
                tracing::warn!(reason, "no canary is written");
            }
            return;
        };
        let value = Value { run: *run, seq: canary.seq, silent_after }.encode();
        let deadline = WRITE_DEADLINE.min(probe.deadline);
        let answer = target.write(own, &self.prober.key(canary.slot), value, deadline).await;
        board.heard(Listener::Api, answer.as_ref().err());
        match answer {
            Ok(answer) => {
                self.shed = 0;
                if let Some(canaries) = self.trouble.over() {
                    tracing::info!(canaries, "canaries are acknowledged again; so many were not");
                }
                for peer in board.acknowledge(&canary, answer.done) {
                    let after = probe.interval.mul_f64(rand::random::<f64>());
                    board.schedule_verdict(&peer, &canary, answer.done + after);
                }
            }
            Err(error) => {
                board.abort(&canary);
                self.shed = if error.is_shedding() { (self.shed + 1).min(SHED_DOUBLINGS_MAX) } else { 0 };
                let error = noted(&self.prober, &error);
                if self.trouble.is_news(&error) {
                    tracing::warn!(error, seq = canary.seq, "canary not acknowledged");
                }
            }
        }
    }

    /// When the next canary is due: after an interval, or longer while the own replica sheds load.
    fn due(&self) -> Instant {
        let pause = self.prober.live.load().probe.interval.saturating_mul(1 << self.shed);
        (self.last + pause).max(self.not_before)
    }

    /// The own replica, once it is known and nothing of an earlier run is left there.
    async fn own(&mut self) -> Option<Base> {
        let own = self.prober.board.layout()?.own.api;
        if !self.swept {
            match sweep::sweep_own(&self.prober, &own).await {
                Ok(swept) => self.swept = swept,
                Err(error) => {
                    if self.sweeping.is_news(&error.to_string()) {
                        tracing::warn!(%error, "own old canary keys cannot be swept yet");
                    }
                }
            }
        }
        self.swept.then_some(own)
    }
}

// === impl Trouble ===

impl Trouble {
    /// One more; whether its reason differs from that of the one before.
    fn is_news(&mut self, reason: &str) -> bool {
        self.failures += 1;
        let is_news = self.reason.as_deref() != Some(reason);
        if is_news {
            self.reason = Some(reason.to_owned());
        }
        is_news
    }

    /// It went well: how often it did not before, if ever.
    fn over(&mut self) -> Option<u64> {
        self.reason.take().map(|_| std::mem::take(&mut self.failures))
    }
}

impl Worker for Writer {
    type Error = Infallible;

    fn name(&self) -> &str {
        "canary"
    }

    async fn work(&mut self) -> Result<Next, Infallible> {
        let due = self.due();
        if clock::now() < due {
            return Ok(Next::Wait);
        }
        let Some(own) = self.own().await else {
            self.not_before = clock::now() + START_PAUSE;
            return Ok(Next::Wait);
        };
        let probe = self.prober.live.load().probe;
        // What was missed, because a write took long, say, is not made up for.
        let late = clock::now().saturating_duration_since(due) > probe.interval;
        self.last = if late { clock::now() } else { due };
        self.cycle(&own, probe).await;
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        // The interval may be made shorter meanwhile.
        clock::sleep_until(self.due().min(clock::now() + RECONSIDER)).await;
    }
}
