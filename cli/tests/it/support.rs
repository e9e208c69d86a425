//! What the tests of this binary share: the repository's files, and running programs.

pub(crate) mod cluster;
pub(crate) mod exposition;
pub(crate) mod fake;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod settle;

use std::time::{Duration, Instant};

/// How long a test waits for something that takes moments: long, for a slow day is not a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Asks again and again until `check` is content, and panics with its last complaint otherwise.
pub(crate) fn eventually<T>(what: &str, check: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, check)
}

/// As [`eventually`], where the time is what is tested.
pub(crate) fn within<T>(bound: Duration, what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match check() {
            Ok(value) => return value,
            Err(complaint) if begun.elapsed() > bound => {
                panic!("{what}: not within {bound:?}; last: {complaint}")
            }
            Err(_) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}
