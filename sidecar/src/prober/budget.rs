//! The requests that the prober allows itself: a bucket of tokens, refilled evenly.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests allowed per second, with bursts of up to a second's worth. Shared by all tasks.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self(Mutex::new(Bucket { tokens: f64::from(per_second), filled: now }))
    }

    /// Takes `tokens`, leaving at least `reserve` for others; else says how long to wait for them.
    pub(crate) fn take(
        &self,
        tokens: u32,
        reserve: u32,
        per_second: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = f64::from(per_second);
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * capacity).min(capacity);
        bucket.filled = bucket.filled.max(now);
        // What is more than a full bucket could never be had.
        let wanted = f64::from(tokens.saturating_add(reserve)).min(capacity);
        if bucket.tokens >= wanted {
            bucket.tokens -= f64::from(tokens).min(capacity);
            return Ok(());
        }
        Err(Duration::from_secs_f64((wanted - bucket.tokens) / capacity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_the_rate() {
        let start = Instant::now();
        let budget = Budget::new(50, start);
        let mut taken = 0;
        // Ten seconds in steps of a millisecond, trying ten times each.
        for step in 0..10_000 {
            let now = start + Duration::from_millis(step);
            taken += (0..10).filter(|_| budget.take(1, 0, 50, now).is_ok()).count();
        }
        assert!((545..=550).contains(&taken), "{taken}");
    }

    #[test]
    fn reserve_is_left_and_waits_are_finite() {
        let now = Instant::now();
        let budget = Budget::new(10, now);
        assert_eq!(budget.take(6, 4, 10, now), Ok(()));
        assert_eq!(budget.take(1, 4, 10, now), Err(Duration::from_millis(100)));
        assert_eq!(budget.take(4, 0, 10, now), Ok(()));
        // More than fits waits for a full bucket.
        assert_eq!(budget.take(1_000, 0, 10, now), Err(Duration::from_secs(1)));
        assert_eq!(budget.take(1_000, 0, 10, now + Duration::from_secs(1)), Ok(()));
    }
}
