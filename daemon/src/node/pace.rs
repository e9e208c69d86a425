//! The pace at which this node fetches what it has missed, so that its clients, and those of whoever it fetches from,
//! come first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What an entry counts beside its bytes: small ones cost more than they hold.
const ENTRY_BYTES: u64 = 1 << 10;

/// The pace of all fetching together.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When what was fetched is paid for.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until more may be fetched.
    pub(crate) async fn wait(&self) {
        let free_at = *self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free_at) = free_at {
            sleep_until(free_at).await;
        }
    }

    /// Something was fetched, and may be at `rate` bytes per second.
    pub(crate) fn fetched(&self, entries: usize, bytes: usize, rate: u64) {
        let cost = entries as u64 * ENTRY_BYTES + bytes as u64;
        let time = Duration::from_secs_f64(cost as f64 / rate.max(1) as f64);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *free_at = Some(free_at.map_or(now, |free_at| free_at.max(now)) + time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_of_fetching_takes_a_second_and_idle_time_is_not_saved_up() {
        let pace = Pace::default();
        let begun = Instant::now();
        pace.wait().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..2 {
            pace.wait().await;
            pace.fetched(10, 90 << 10, 200 << 10);
        }
        pace.wait().await;
        assert_eq!(begun.elapsed().as_millis(), 1_000);
        tokio::time::advance(Duration::from_secs(60)).await;
        pace.fetched(0, 200 << 10, 200 << 10);
        pace.wait().await;
        assert_eq!(begun.elapsed().as_millis(), 62_000);
    }
}
