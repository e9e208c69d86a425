//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// How long anything may take that has no deadline of its own to be tested. Far above what it takes on a slow day.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `look` finds something.
///
/// # Panics
/// When it has found nothing at the deadline; `what` says what was waited for.
pub(crate) fn wait_for<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}
