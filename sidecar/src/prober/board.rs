//! The books of the prober: one ledger per peer, the canaries under way, and the windows behind every
//! ratio and quantile. All tasks write into it, metrics and state are read from it.

mod books;
mod breaches;
mod own;
mod peers;
mod report;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use settle_service::reload::Live;

use super::ring::Ring;
use crate::clock;
use crate::config::{Config, Objective, Probe};
use crate::metrics::ProbeMetrics;
use crate::target::Layout;
use crate::traffic::Counters;
use crate::verdict::{Canary, Converged, Slot};
use books::Books;
use breaches::Breaches;
use own::Own;
pub(crate) use own::{Listener, TargetState};
pub(crate) use peers::NewPeer;
use peers::Peer;
pub(crate) use snapshot::{Distribution, ObjectiveState, PeerState, Snapshot};

/// See the module.
pub(crate) struct Board {
    live: Live<Config>,
    pub(crate) metrics: ProbeMetrics,
    state: Mutex<State>,
}

struct State {
    started: Instant,
    layout: Option<Layout>,
    own: Own,
    ring: Ring,
    peers: BTreeMap<String, Peer>,
    books: Books,
    breaches: Breaches,
    /// Where the sample of the next cycle begins.
    rotation: usize,
    last_acked: Option<Instant>,
}

// === impl Board ===

impl Board {
    pub(crate) fn new(live: Live<Config>, metrics: ProbeMetrics) -> Self {
        let state = State {
            started: clock::now(),
            layout: None,
            own: Own::default(),
            ring: Ring::new(),
            peers: BTreeMap::new(),
            books: Books::default(),
            breaches: Breaches::default(),
            rotation: 0,
            last_acked: None,
        };
        Self { live, metrics, state: Mutex::new(state) }
    }

    /// The cluster as last seen; nothing before the first answer.
    pub(crate) fn layout(&self) -> Option<Layout> {
        self.locked().layout.clone()
    }

    /// Starts the clock of a new canary and picks the peers that it is looked for at.
    /// `start` is just before its write is sent.
    /// Nothing while the own replica holds no key of the ring.
    pub(crate) fn begin(&self, start: Instant, silent_after: Duration) -> Option<Canary> {
        let probe = self.probe();
        let mut guard = self.locked();
        let state = &mut *guard;
        let placement = &state.layout.as_ref()?.placement;
        let canary = state.ring.next(&placement.slots, start)?;
        let holders = state.peers.keys().filter(|name| placement.holds(name, canary.slot)).cloned().collect();
        let long_silent = |last: Instant| start.saturating_duration_since(last) > silent_after.mul_f64(0.5);
        if state.last_acked.is_some_and(long_silent) {
            // Another prober may have swept the ring by now.
            state.peers.values_mut().for_each(|peer| peer.ledger.forget_seen());
        }
        let sample = state.sample(holders, probe.peers_per_cycle);
        for name in &sample {
            if let Some(peer) = state.peers.get_mut(name) {
                peer.ledger.begin(canary);
                peer.wake.notify_one();
            }
        }
        state.books.begin(&canary, sample);
        Some(canary)
    }

    /// Whether the ring has this slot.
    pub(crate) fn has_slot(&self, slot: Slot) -> bool {
        let state = self.locked();
        state.layout.as_ref().is_some_and(|layout| layout.placement.slots.binary_search(&slot).is_ok())
    }

    /// The write was acknowledged: every sampled peer owes the canary now. Returns those peers.
    pub(crate) fn acknowledge(&self, canary: &Canary, at: Instant) -> Vec<String> {
        let mut state = self.locked();
        state.last_acked = Some(at);
        state.ring.acknowledge(canary);
        let mut sampled = Vec::new();
        for (name, peer) in &mut state.peers {
            if peer.ledger.acknowledge(canary.seq) {
                sampled.push(name.clone());
            }
        }
        state.books.acknowledge(canary.seq, &sampled);
        sampled
    }

    /// The write was refused, or nobody knows.
    pub(crate) fn abort(&self, canary: &Canary) {
        let mut state = self.locked();
        state.books.abort(canary.seq);
        for peer in state.peers.values_mut() {
            if peer.ledger.abort(canary.seq) {
                peer.metrics.aborted.inc();
            }
        }
    }

    /// Settles what is settled and counts a sample of every peer's lag.
    pub(crate) fn judge(&self, now: Instant) {
        let config = self.live.get();
        let mut state = self.locked();
        let names: Vec<String> = state.peers.keys().cloned().collect();
        for name in names {
            self.settle(&mut state, &name, now);
        }
        let lags: Vec<Duration> = state.peers.values().filter_map(|peer| peer.ledger.lag(now)).collect();
        let bad = lags.iter().filter(|lag| **lag > config.thresholds.replication_lag).count();
        self.metrics.objective.count(Objective::ReplicationLag, lags.len() as u64, bad as u64);
        state.note_breaches(now, &config);
    }

    /// Takes in a reading of the replica's counters.
    pub(crate) fn traffic(&self, now: Instant, counters: Counters) {
        let window = self.probe().window;
        let change = self.locked().books.traffic.read(now, counters, window);
        if let Some(change) = change {
            self.metrics.objective.count(Objective::ConflictRate, change.writes, change.conflicts);
        }
    }

    /// Ends the watches of one peer that are settled, and the canaries that waited for it only.
    fn settle(&self, state: &mut State, name: &str, now: Instant) {
        let config = self.live.get();
        let Some(peer) = state.peers.get_mut(name) else { return };
        for settled in peer.ledger.settle(now, config.probe.deadline) {
            let (after, shown) = peer.settled(now, settled.outcome, config.probe.deadline);
            if !shown {
                let (seq, outcome) = (settled.seq, settled.outcome);
                tracing::warn!(peer = name, seq, ?outcome, "canary not seen by the deadline");
            }
            let converged = state.books.settle(settled.seq, name, after, shown);
            self.converged(&mut state.books, converged, now);
        }
    }

    /// Observes the convergence of a canary that nobody waits for any more.
    fn converged(&self, books: &mut Books, converged: Option<Converged>, now: Instant) {
        let Some(converged) = converged else { return };
        let after = converged.after.as_secs_f64();
        self.metrics.convergence.observe(after);
        books.convergence.push(now, after);
        let threshold = self.live.load().thresholds.convergence_p99;
        let bad = converged.after > threshold || !converged.complete;
        self.metrics.objective.count(Objective::ConvergenceP99, 1, bad.into());
    }

    fn probe(&self) -> Probe {
        self.live.load().probe
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
