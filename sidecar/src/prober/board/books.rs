//! What is known over all peers: canaries under way, what became of them, and the windows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::traffic::Traffic;
use crate::verdict::{Canary, Converged, Convergence, Seq};
use crate::window::{Counts, Samples};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Books {
    flights: BTreeMap<Seq, Convergence>,
    pub(crate) tally: Tally,
    /// Seconds until all replicas showed a canary.
    pub(crate) convergence: Samples,
    /// Verdict reads of all peers; the bad ones are stale or missing.
    pub(crate) stale: Counts,
    pub(crate) traffic: Traffic,
}

/// What became of all canaries since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) written: u64,
    pub(crate) acknowledged: u64,
    pub(crate) aborted: u64,
    /// Shown by every peer in time.
    pub(crate) converged: u64,
    /// Not shown by every peer by the deadline.
    pub(crate) incomplete: u64,
}

// === impl Books ===

impl Books {
    pub(crate) fn begin(&mut self, canary: &Canary, peers: Vec<String>) {
        self.tally.written += 1;
        self.flights.insert(canary.seq, Convergence::new(peers));
    }

    pub(crate) fn acknowledge(&mut self, seq: Seq, peers: &[String]) {
        self.tally.acknowledged += 1;
        if peers.is_empty() {
            self.flights.remove(&seq);
        }
    }

    pub(crate) fn abort(&mut self, seq: Seq) {
        self.tally.aborted += 1;
        self.flights.remove(&seq);
    }

    /// The canary ended at one peer; gives its convergence when that was the last one.
    pub(crate) fn settle(&mut self, seq: Seq, peer: &str, after: Duration, shown: bool) -> Option<Converged> {
        self.flights.get_mut(&seq)?.settle(peer, after, shown);
        self.land(seq)
    }

    /// The peer is no longer waited for; gives the canaries for which it was the last one.
    pub(crate) fn leave(&mut self, peer: &str) -> Vec<Converged> {
        self.flights.values_mut().for_each(|flight| flight.leave(peer));
        let over: Vec<Seq> =
            self.flights.iter().filter(|(_, flight)| flight.is_over()).map(|(seq, _)| *seq).collect();
        over.into_iter().filter_map(|seq| self.land(seq)).collect()
    }

    /// Canaries that the peer is not waited for any more; gives those for which it was the last one.
    pub(crate) fn release(&mut self, peer: &str, canaries: &[Seq]) -> Vec<Converged> {
        let release = |seq: &Seq| {
            self.flights.get_mut(seq)?.leave(peer);
            self.land(*seq)
        };
        canaries.iter().filter_map(release).collect()
    }

    /// Canaries that are still waited for.
    pub(crate) fn under_way(&self) -> usize {
        self.flights.len()
    }

    fn land(&mut self, seq: Seq) -> Option<Converged> {
        if !self.flights.get(&seq)?.is_over() {
            return None;
        }
        let converged = self.flights.remove(&seq)?.result()?;
        if converged.complete {
            self.tally.converged += 1;
        } else {
            self.tally.incomplete += 1;
        }
        Some(converged)
    }
}
