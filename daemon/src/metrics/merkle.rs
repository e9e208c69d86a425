//! What comes of comparing replicas at rest, by their hash trees.

use settle_service::metrics::{Counter, MetricError, Metrics};

/// Counters of verification.
pub(crate) struct Merkle {
    equal: Counter,
    repaired: Counter,
    error: Counter,
    keys: Counter,
}

impl Merkle {
    pub(super) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let exchanges = metrics.counters(
            "settle_merkle_exchanges_total",
            "Comparisons of a partition with another replica's by their hash trees, by result: equal (but for writes on \
             their way), repaired (replicas that had seen the same held different data, and it was written anew: a disk or \
             a program has lost something) or error (the other replica did not answer).",
            ["result"],
        )?;
        Ok(Self {
            equal: exchanges.with(["equal"]),
            repaired: exchanges.with(["repaired"]),
            error: exchanges.with(["error"]),
            keys: metrics.counter(
                "settle_merkle_keys_repaired_total",
                "Keys of which replicas that had seen the same held different versions, and that were written anew.",
            )?,
        })
    }

    /// Replicas were found equal, or nothing is left to repair after so many keys.
    pub(crate) fn compared(&self, keys_repaired: u64) {
        if keys_repaired == 0 { self.equal.inc() } else { self.repaired.inc() }
    }

    /// So many keys were written anew, however the comparison ends.
    pub(crate) fn keys_repaired(&self, keys: u64) {
        self.keys.inc_by(keys);
    }

    /// A comparison ended early.
    pub(crate) fn failed(&self) {
        self.error.inc();
    }
}
