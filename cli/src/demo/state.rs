//! What the sidecar's `/v1/state` says, as far as the demo shows it. Unknown is `None`.

use serde::Deserialize;

/// Everything measured, at one moment. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct State {
    pub(super) peers: Vec<Peer>,
    pub(super) convergence_seconds: Distribution,
    pub(super) traffic: Traffic,
    pub(super) canaries: Canaries,
    pub(super) objectives: Vec<Objective>,
}

/// One peer of the sidecar's own replica.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Peer {
    pub(super) name: String,
    /// Whether its last read was answered.
    pub(super) up: Option<bool>,
    pub(super) lag_seconds: Option<f64>,
    pub(super) visibility_seconds: Distribution,
    pub(super) canaries: Outcomes,
    pub(super) reads: Reads,
}

/// Quantiles over the sidecar's window.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Distribution {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Canaries at one peer since the start.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Outcomes {
    pub(super) converged: u64,
    pub(super) expired: u64,
    pub(super) unreachable: u64,
}

/// Verdict reads at one peer since the start.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Reads {
    pub(super) fresh: u64,
    pub(super) stale: u64,
    pub(super) missing: u64,
    pub(super) error: u64,
}

/// Real traffic at the own replica within the window.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Traffic {
    pub(super) writes: u64,
    pub(super) conflicts: u64,
}

/// Canaries over all peers since the start.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Canaries {
    /// Writes that were refused, or of which nobody knows.
    pub(super) aborted: u64,
    /// Shown by every peer in time.
    pub(super) converged: u64,
    /// Not shown by every peer in time.
    pub(super) incomplete: u64,
    pub(super) under_way: u64,
}

/// One threshold and what is compared with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Objective {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) threshold: f64,
    pub(super) value: Option<f64>,
    pub(super) breached: Option<bool>,
}

impl State {
    /// The largest lag; `None` when that of any peer is unknown.
    pub(super) fn worst_lag(&self) -> Option<f64> {
        self.peers.iter().try_fold(0.0_f64, |worst, peer| Some(worst.max(peer.lag_seconds?)))
    }

    /// The threshold of the lag, in seconds.
    pub(super) fn lag_threshold(&self) -> f64 {
        let lag = self.objectives.iter().find(|objective| objective.name == "replication_lag");
        lag.map_or(f64::INFINITY, |objective| objective.threshold)
    }
}
