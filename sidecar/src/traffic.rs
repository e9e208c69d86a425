//! Conflicts of real traffic, from the replica's own counters.

use std::time::{Duration, Instant};

use crate::window::{Counts, ratio};

/// The replica's counters at one moment, summed over buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counters {
    /// Writes of user buckets first taken in at this replica.
    pub(crate) writes: f64,
    /// Conflicts that it met.
    pub(crate) conflicts: f64,
    /// When its process started, if it says so: a restart starts the counters anew.
    pub(crate) started: Option<f64>,
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) writes: u64,
    pub(crate) conflicts: u64,
}

/// Readings of the counters, and their changes over a window.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    last: Option<Counters>,
    changes: Counts,
}

// === impl Traffic ===

impl Traffic {
    /// Takes in a reading; gives the change since the one before, if there was one.
    pub(crate) fn read(&mut self, now: Instant, counters: Counters, window: Duration) -> Option<Change> {
        let before = self.last.replace(counters)?;
        let restarted = counters.writes < before.writes
            || counters.conflicts < before.conflicts
            || matches!((before.started, counters.started), (Some(old), Some(new)) if old != new);
        let base = if restarted { (0.0, 0.0) } else { (before.writes, before.conflicts) };
        let change =
            Change { writes: whole(counters.writes - base.0), conflicts: whole(counters.conflicts - base.1) };
        self.changes.add(now, change.writes, change.conflicts, window);
        Some(change)
    }

    /// Writes and conflicts within the window.
    pub(crate) fn totals(&mut self, now: Instant, window: Duration) -> (u64, u64) {
        self.changes.totals(now, window)
    }

    /// Conflicts per write over the window: nothing until the counters were read twice within it,
    /// zero when they were and stood still.
    pub(crate) fn ratio(&mut self, now: Instant, window: Duration) -> Option<f64> {
        let (writes, conflicts) = self.changes.totals(now, window);
        if self.changes.is_empty() {
            return None;
        }
        // A conflict may surface after its writes have left the window.
        ratio((writes.max(u64::from(conflicts > 0)), conflicts)).or(Some(0.0))
    }
}

/// A counter's difference as a whole number.
fn whole(difference: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as wanted")]
    let whole = difference.round() as u64;
    whole
}

// === impl Counters ===

impl Counters {
    /// Reads them from a metrics page in the text format; nothing when the page has no counter of
    /// writes, which every replica has from the start.
    pub(crate) fn from_page(page: &str) -> Option<Self> {
        let sum = |name: &str| page.lines().filter_map(|line| sample(line, name)).fold(0.0, |a, b| a + b);
        let started = page.lines().find_map(|line| sample(line, "process_start_time_seconds"));
        page.contains("settle_writes_total").then(|| Self {
            writes: sum("settle_writes_total"),
            conflicts: sum("settle_conflicts_total"),
            started,
        })
    }
}

/// The value of a line that is a sample of `name`, with or without labels.
fn sample(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let values = match rest.as_bytes().first()? {
        // A label's value may contain anything but an unescaped quote, so the last brace ends them.
        b'{' => rest.rsplit_once('}')?.1,
        b' ' => rest,
        _ => return None,
    };
    values.split_ascii_whitespace().next()?.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(writes: f64, conflicts: f64, started: f64) -> Counters {
        Counters { writes, conflicts, started: Some(started) }
    }

    #[test]
    fn page() {
        let page = "# TYPE settle_writes_total counter\n\
            settle_writes_total{bucket=\"default\"} 10\n\
            settle_writes_total{bucket=\"odd} 9\\\"\"} 5 1712\n\
            settle_writes_total_other{bucket=\"x\"} 99\n\
            settle_conflicts_total{bucket=\"default\",resolution=\"lww\"} 2\n\
            process_start_time_seconds 17.5\n";
        assert_eq!(Counters::from_page(page), Some(counters(15.0, 2.0, 17.5)));
        assert_eq!(Counters::from_page("up 1\n"), None);
    }

    #[test]
    fn unknown_until_read_twice() {
        let mut traffic = Traffic::default();
        let (now, window) = (Instant::now(), Duration::from_secs(60));
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(traffic.ratio(now, window), None);
        assert_eq!(traffic.read(now, counters(100.0, 50.0, 1.0), window), None);
        assert_eq!(traffic.ratio(now, window), None);
        traffic.read(later(1), counters(100.0, 50.0, 1.0), window);
        assert_eq!(traffic.ratio(later(1), window), Some(0.0));
        traffic.read(later(2), counters(200.0, 52.0, 1.0), window);
        assert_eq!(traffic.ratio(later(2), window), Some(0.02));
        assert_eq!(traffic.ratio(later(200), window), None);
    }

    #[test]
    fn restarts() {
        let mut traffic = Traffic::default();
        let (now, window) = (Instant::now(), Duration::from_secs(60));
        traffic.read(now, counters(100.0, 5.0, 1.0), window);
        let change = traffic.read(now, counters(10.0, 1.0, 2.0), window);
        assert_eq!(change, Some(Change { writes: 10, conflicts: 1 }));
        // Also when the new counters have overtaken the old ones.
        let change = traffic.read(now, counters(20.0, 1.0, 3.0), window);
        assert_eq!(change, Some(Change { writes: 20, conflicts: 1 }));
    }
}
