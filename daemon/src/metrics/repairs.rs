//! What comes of comparing replicas when a key is read.

use settle_service::metrics::{Counter, MetricError, Metrics};

/// Counters of read repair.
pub(crate) struct Repairs {
    /// What a client waited for.
    pub(crate) blocking: Results,
    /// What no client waited for.
    pub(crate) background: Results,
}

/// One counter per result.
pub(crate) struct Results {
    applied: Counter,
    no_diff: Counter,
    error: Counter,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepairResult {
    /// Some replica lacked something and has it now.
    Applied,
    /// No replica lacked anything.
    NoDiff,
    /// Some replica that lacked something may lack it still.
    Error,
}

impl Repairs {
    pub(super) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let repairs = metrics.counters(
            "settle_read_repairs_total",
            "Times that a read compared replicas, by mode (blocking: the client waited for it; background: after a read at \
             one replica, or at replicas that a read did not need) and result: applied, no_diff or error.",
            ["mode", "result"],
        )?;
        let results = |mode: &str| Results {
            applied: repairs.with([mode, "applied"]),
            no_diff: repairs.with([mode, "no_diff"]),
            error: repairs.with([mode, "error"]),
        };
        Ok(Self { blocking: results("blocking"), background: results("background") })
    }
}

impl Results {
    /// A comparison ended.
    pub(crate) fn count(&self, result: RepairResult) {
        match result {
            RepairResult::Applied => self.applied.inc(),
            RepairResult::NoDiff => self.no_diff.inc(),
            RepairResult::Error => self.error.inc(),
        }
    }
}
