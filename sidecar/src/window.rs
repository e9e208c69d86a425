//! What happened within a sliding window, in bounded memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples kept at most; beyond it the oldest go first, and the window is shorter than asked for.
const SAMPLES_MAX: usize = 8192;

/// Parts that a window of counts is cut into; a part leaves it as a whole.
const PARTS: u32 = 256;

/// Measured values with the time at which they were taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    values: VecDeque<(Instant, f64)>,
}

/// Events, and how many of them were bad.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    parts: VecDeque<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    from: Instant,
    all: u64,
    bad: u64,
}

/// Median and tail of the samples in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantiles {
    /// Samples in the window.
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
}

// === impl Samples ===

impl Samples {
    pub(crate) fn push(&mut self, now: Instant, value: f64) {
        if self.values.len() == SAMPLES_MAX {
            self.values.pop_front();
        }
        self.values.push_back((now, value));
    }

    /// Of the samples taken within `window` before `now`; nothing when there are none.
    pub(crate) fn quantiles(&mut self, now: Instant, window: Duration) -> Option<Quantiles> {
        while self.values.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > window) {
            self.values.pop_front();
        }
        let mut sorted: Vec<f64> = self.values.iter().map(|(_, value)| *value).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |permille: usize| nearest_rank(&sorted, permille);
        Some(Quantiles { count: sorted.len(), p50: at(500)?, p95: at(950)?, p99: at(990)? })
    }
}

/// The smallest value that at least this part of all values do not exceed.
fn nearest_rank(sorted: &[f64], permille: usize) -> Option<f64> {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

// === impl Counts ===

impl Counts {
    pub(crate) fn add(&mut self, now: Instant, all: u64, bad: u64, window: Duration) {
        self.expire(now, window);
        match self.parts.back_mut() {
            Some(part) if now.saturating_duration_since(part.from) < window / PARTS => {
                part.all += all;
                part.bad += bad;
            }
            _ => self.parts.push_back(Part { from: now, all, bad }),
        }
    }

    /// All and bad events within `window` before `now`.
    pub(crate) fn totals(&mut self, now: Instant, window: Duration) -> (u64, u64) {
        self.expire(now, window);
        self.parts.iter().fold((0, 0), |(all, bad), part| (all + part.all, bad + part.bad))
    }

    /// Whether anything was added within the window, be it nothing but zeros.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn expire(&mut self, now: Instant, window: Duration) {
        while self.parts.front().is_some_and(|part| now.saturating_duration_since(part.from) > window) {
            self.parts.pop_front();
        }
    }
}

/// `bad / all`; nothing when there were no events.
pub(crate) fn ratio((all, bad): (u64, u64)) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^53")]
    (all > 0).then(|| bad as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_slide() {
        let start = Instant::now();
        let window = Duration::from_secs(100);
        let at = |second: u64| start + Duration::from_secs(second);
        let mut samples = Samples::default();
        assert_eq!(samples.quantiles(start, window), None);
        for second in 1..=100_u32 {
            samples.push(at(second.into()), f64::from(second));
        }
        let expected = Quantiles { count: 100, p50: 50.0, p95: 95.0, p99: 99.0 };
        assert_eq!(samples.quantiles(at(101), window), Some(expected));
        let expected = Quantiles { count: 2, p50: 99.0, p95: 100.0, p99: 100.0 };
        assert_eq!(samples.quantiles(at(199), window), Some(expected));
        assert_eq!(samples.quantiles(at(201), window), None);
    }

    #[test]
    fn counts_slide() {
        let start = Instant::now();
        let window = Duration::from_secs(256);
        let at = |second: u64| start + Duration::from_secs(second);
        let mut counts = Counts::default();
        assert!(counts.is_empty());
        counts.add(at(0), 10, 1, window);
        counts.add(at(100), 10, 3, window);
        assert_eq!(counts.totals(at(200), window), (20, 4));
        assert_eq!(counts.totals(at(300), window), (10, 3));
        counts.add(at(300), 0, 0, window);
        assert_eq!(counts.totals(at(400), window), (0, 0));
        assert!(!counts.is_empty());
        assert_eq!(ratio((0, 0)), None);
        assert_eq!(ratio((8, 2)), Some(0.25));
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let (mut samples, mut counts) = (Samples::default(), Counts::default());
        for step in 0..100_000 {
            let now = start + Duration::from_millis(step);
            samples.push(now, 0.0);
            counts.add(now, 1, 0, Duration::from_secs(100));
        }
        assert!(samples.values.len() <= SAMPLES_MAX);
        assert!(counts.parts.len() <= PARTS as usize + 2);
    }
}
