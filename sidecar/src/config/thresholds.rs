//! The objectives and their thresholds.

use std::time::Duration;

use settle_service::config::Reader;

/// What a healthy cluster keeps. A sample above its threshold is a bad one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Current lag of any peer.
    pub replication_lag: Duration,
    /// Conflicts per write of real traffic.
    pub conflict_rate: f64,
    /// The part of verdict reads that are stale.
    pub stale_read_rate: f64,
    /// 99th percentile of convergence.
    pub convergence_p99: Duration,
    /// The part of comparisons between replicas that differ.
    pub read_inconsistency_rate: f64,
    /// Distance between two replicas' wall clocks.
    pub clock_offset: Duration,
}

/// What is judged, named as in `[thresholds]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Objective {
    /// See [`Thresholds::replication_lag`].
    ReplicationLag,
    /// See [`Thresholds::conflict_rate`].
    ConflictRate,
    /// See [`Thresholds::stale_read_rate`].
    StaleReadRate,
    /// See [`Thresholds::convergence_p99`].
    ConvergenceP99,
    /// See [`Thresholds::read_inconsistency_rate`].
    ReadInconsistencyRate,
    /// See [`Thresholds::clock_offset`].
    ClockOffset,
}

// === impl Thresholds ===

impl Thresholds {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            replication_lag: reader.duration(
                "thresholds.replication_lag",
                "5s",
                "Current lag of any peer; judged at once.",
            ),
            conflict_rate: reader.ratio(
                "thresholds.conflict_rate",
                0.01,
                "Conflicts per write of real traffic, over the window.",
            ),
            stale_read_rate: reader.ratio(
                "thresholds.stale_read_rate",
                0.10,
                "Part of the verdict reads that are stale, over the window.",
            ),
            convergence_p99: reader.duration(
                "thresholds.convergence_p99",
                "1s",
                "99th percentile of the time until all replicas show a canary, over the window.",
            ),
            read_inconsistency_rate: reader.ratio(
                "thresholds.read_inconsistency_rate",
                0.01,
                "Part of the comparisons between replicas that differ, over the window; not measured by this \
                 version.",
            ),
            clock_offset: reader.duration(
                "thresholds.clock_offset",
                "250ms",
                "Distance between the wall clocks of two replicas; not measured by this version.",
            ),
        }
    }

    /// The threshold of one objective in its unit: seconds, or a ratio.
    pub fn of(&self, objective: Objective) -> f64 {
        match objective {
            Objective::ReplicationLag => self.replication_lag.as_secs_f64(),
            Objective::ConflictRate => self.conflict_rate,
            Objective::StaleReadRate => self.stale_read_rate,
            Objective::ConvergenceP99 => self.convergence_p99.as_secs_f64(),
            Objective::ReadInconsistencyRate => self.read_inconsistency_rate,
            Objective::ClockOffset => self.clock_offset.as_secs_f64(),
        }
    }
}

// === impl Objective ===

impl Objective {
    /// All of them, in the order of the configuration.
    pub const ALL: [Self; 6] = [
        Self::ReplicationLag,
        Self::ConflictRate,
        Self::StaleReadRate,
        Self::ConvergenceP99,
        Self::ReadInconsistencyRate,
        Self::ClockOffset,
    ];

    /// The name in configuration, labels and state.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReplicationLag => "replication_lag",
            Self::ConflictRate => "conflict_rate",
            Self::StaleReadRate => "stale_read_rate",
            Self::ConvergenceP99 => "convergence_p99",
            Self::ReadInconsistencyRate => "read_inconsistency_rate",
            Self::ClockOffset => "clock_offset",
        }
    }

    /// Whether this version measures it. The others can be configured, and stay unknown.
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::ReadInconsistencyRate | Self::ClockOffset)
    }

    /// `seconds` or `ratio`.
    pub fn unit(self) -> &'static str {
        match self {
            Self::ReplicationLag | Self::ConvergenceP99 | Self::ClockOffset => "seconds",
            Self::ConflictRate | Self::StaleReadRate | Self::ReadInconsistencyRate => "ratio",
        }
    }
}
