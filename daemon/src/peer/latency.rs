//! How long a peer takes to answer reads: what tells a slow answer from a normal one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The bounds of [`Latency::slow_after`]: below, a hiccup of this very process would count as the peer's; above, a client
/// would wait for a peer that may be gone.
const MIN: Duration = Duration::from_millis(1);
const MAX: Duration = Duration::from_millis(50);

/// A running estimate of the 99th percentile of a peer's recent answers.
///
/// An answer that took longer raises it by a tenth, one that did not lowers it by a thousandth, so it stays where one in a
/// hundred takes longer. One word of memory, no lock; an update that is lost between two threads does no harm.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// In nanoseconds; 0 before the first answer.
    p99: AtomicU64,
}

impl Latency {
    /// After how long an answer is late for this peer.
    pub(crate) fn slow_after(&self) -> Duration {
        match self.p99.load(Ordering::Relaxed) {
            0 => MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// A question was answered after `took`.
    pub(crate) fn answered(&self, took: Duration) {
        let took = nanos(took);
        let estimate = match self.p99.load(Ordering::Relaxed) {
            0 => took.saturating_mul(2),
            old if took > old => old + old / 10,
            old => old - old / 1_000,
        };
        self.p99.store(estimate.clamp(nanos(MIN), nanos(MAX)), Ordering::Relaxed);
    }

    /// Nobody waits any longer for an answer that has not come for `waited`: how long it would have taken is unknown, but
    /// without those the slowest would never count.
    pub(crate) fn given_up(&self, waited: Duration) {
        if waited > self.slow_after() {
            self.answered(waited);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of 2.0 to 11.9 ms, evenly spread, in a scattered order.
    fn answers() -> impl Iterator<Item = Duration> {
        (0..20_000_u64).map(|number| Duration::from_micros(2_000 + number * 61 % 100 * 100))
    }

    #[test]
    fn one_answer_in_a_hundred_is_slow() {
        let latency = Latency::default();
        assert_eq!(latency.slow_after(), MAX);
        answers().for_each(|took| latency.answered(took));
        let late = answers().filter(|took| {
            let late = *took > latency.slow_after();
            latency.answered(*took);
            late
        });
        let late = late.count();
        assert!((20..=600).contains(&late), "{late} of 20,000 were late, {:?}", latency.slow_after());
    }

    #[test]
    fn the_estimate_stays_within_its_bounds_and_follows_the_peer() {
        let latency = Latency::default();
        latency.answered(Duration::from_micros(80));
        assert_eq!(latency.slow_after(), MIN);
        // It was never late by so little.
        latency.given_up(Duration::from_micros(900));
        assert_eq!(latency.slow_after(), MIN);
        (0..200).for_each(|_| latency.given_up(Duration::from_secs(1)));
        assert_eq!(latency.slow_after(), MAX);
        (0..5_000).for_each(|_| latency.answered(Duration::from_micros(80)));
        assert_eq!(latency.slow_after(), MIN);
    }
}
