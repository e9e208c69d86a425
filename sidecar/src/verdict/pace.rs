//! When to read next. Dense where a canary is expected to appear, sparse elsewhere: the distance
//! between two reads is the resolution of the measurement, and every read costs.

use std::collections::VecDeque;
use std::time::Duration;

/// The smallest distance between two reads. Timers are no finer than this.
const GAP_MIN: Duration = Duration::from_millis(1);

/// The largest distance between two reads: how late a recovery may be noticed.
pub(crate) const GAP_MAX: Duration = Duration::from_millis(500);

/// The smallest and largest distance while an older canary is still waited for. When that one shows,
/// the next oldest takes its place and is read at once.
const BEHIND_GAP: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Visibilities that the expectation rests on.
const RECENT: usize = 8;

/// What one peer's recent canaries say about when the next one will appear.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    recent: VecDeque<Duration>,
}

// === impl Pace ===

impl Pace {
    /// Learns from a canary that became visible `after` its start.
    pub fn learn(&mut self, after: Duration) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(after);
    }

    /// How long after a read at `elapsed` since the canary's start the next one should begin.
    ///
    /// `first` says that no older canary is still waited for at this peer. Replication keeps order
    /// more or less, so a younger canary is hardly ever visible before an older one.
    pub fn gap(&self, elapsed: Duration, first: bool) -> Duration {
        let earliest = self.recent.iter().min().copied().unwrap_or_default().mul_f64(0.6);
        let latest = self.recent.iter().max().copied().unwrap_or_default().mul_f64(1.5);
        let gap = if elapsed < earliest {
            elapsed.mul_f64(0.5).min(earliest.saturating_sub(elapsed))
        } else if elapsed < latest {
            elapsed.mul_f64(0.04)
        } else {
            elapsed.mul_f64(0.1)
        };
        if first { gap.clamp(GAP_MIN, GAP_MAX) } else { elapsed.clamp(BEHIND_GAP.0, BEHIND_GAP.1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads until `visible_after`, and the distance between the last two of them.
    fn reads(pace: &Pace, visible_after: Duration) -> (usize, Duration) {
        let (mut at, mut count) = (Duration::ZERO, 0);
        loop {
            let gap = pace.gap(at, true);
            count += 1;
            at += gap;
            if at >= visible_after {
                return (count, gap);
            }
        }
    }

    #[test]
    fn fine_where_expected() {
        for expected in [2_u64, 20, 100, 500, 2_000].map(Duration::from_millis) {
            let mut pace = Pace::default();
            for _ in 0..RECENT {
                pace.learn(expected);
            }
            let (count, gap) = reads(&pace, expected);
            assert!(count < 40, "{count} reads for {expected:?}");
            assert!(gap <= GAP_MIN.max(expected.mul_f64(0.05)), "{gap:?} for {expected:?}");
        }
    }

    #[test]
    fn bounded_where_not_expected() {
        let mut pace = Pace::default();
        pace.learn(Duration::from_millis(3));
        let (count, gap) = reads(&pace, Duration::from_secs(10));
        assert!(count < 100, "{count} reads");
        assert!(gap <= GAP_MAX);
    }

    #[test]
    fn faster_than_expected_is_noticed() {
        let mut pace = Pace::default();
        pace.learn(Duration::from_secs(5));
        assert!(pace.gap(Duration::ZERO, true) <= GAP_MIN);
        assert!(pace.gap(Duration::from_millis(100), true) <= Duration::from_millis(50));
        assert!(pace.gap(Duration::from_secs(3), true) <= GAP_MAX);
    }
}
