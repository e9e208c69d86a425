//! The only door to the time. Everything is measured with the monotonic clock; the wall clock is only
//! ever shown.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tokio's timer ticks once a millisecond and rounds up; then the kernel's wait rounds up again.
const TIMER_LATENESS: Duration = Duration::from_millis(1);

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since the epoch by the wall clock, for people and for timestamps in metrics.
pub(crate) fn wall_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Sleeps until about `due`, at most a millisecond less or more. Does not return at once unless `due`
/// has passed.
pub(crate) async fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(now());
    if !left.is_zero() {
        // The shortest sleep there is takes a tick already.
        let rest = left.saturating_sub(TIMER_LATENESS).max(Duration::from_micros(1));
        tokio::time::sleep(rest).await;
    }
}
