//! The only door to time in this program.
//!
//! Bounds and latencies use [`now`], a monotonic clock that goes on while the machine is suspended; the wall clock
//! serves epochs and hybrid stamps only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use settle_core::partition::Moment;

/// The present moment, on a clock that counts suspension.
#[must_use]
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Moment(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time from one moment to a later one; zero if it is not later.
#[must_use]
pub(crate) fn between(earlier: Moment, later: Moment) -> Duration {
    Duration::from_nanos(later.0.saturating_sub(earlier.0))
}

/// The moment that lies `by` before another.
#[must_use]
pub(crate) fn earlier(moment: Moment, by: Duration) -> Moment {
    Moment(moment.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
}

/// Seconds since 1970 that pass evenly: the wall clock of the moment at which this was made, and monotonic time since then.
/// For ages that outlive the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    wall_ms: u64,
    made: Moment,
}

impl Steady {
    /// Follows the wall clock of this moment.
    pub(crate) fn new() -> Self {
        Self { wall_ms: wall_ms(), made: now() }
    }

    /// The present second.
    pub(crate) fn seconds(self) -> u64 {
        let passed = u64::try_from(between(self.made, now()).as_millis()).unwrap_or(u64::MAX);
        self.wall_ms.saturating_add(passed) / 1_000
    }
}

/// The wall clock, in milliseconds since 1970.
#[must_use]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
