//! Many seeds, on all cores, and the first that fails.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use settle_core::plant::{self, Plant};

use crate::broken::Broken;
use crate::cluster::Cluster;
use crate::rng::Rng;
use crate::shape::{Kind, Shape};
use crate::trace::Trace;

/// A seed whose run broke a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step after which it was noticed.
    pub step: u64,
    /// What was broken.
    pub broken: Broken,
}

/// Runs one seed of a kind on this thread; each event goes to `text`, if given. Returns the hash of all that happened.
///
/// # Errors
/// [`Failure`] when a property broke.
pub fn run(kind: Kind, seed: u64, bug: Option<Plant>, text: Option<Box<dyn Write>>) -> Result<u64, Failure> {
    plant::plant(bug);
    let failure = |(step, broken)| Failure { seed, step, broken };
    let mut rng = Rng::new(seed);
    let shape = match kind {
        Kind::Steady => Shape::draw(&mut rng),
        Kind::Layouts => Shape::draw_layouts(&mut rng),
    };
    let ran = catch_unwind(AssertUnwindSafe(|| {
        Cluster::new(shape, rng, Trace::new(text)).map_err(|broken| (0, broken))?.run()
    }));
    plant::plant(None);
    let crashed = |_| (0, Broken::new("panic", "the kernel or the simulator panicked".to_owned()));
    ran.map_err(crashed).flatten().map_err(failure)
}

/// Runs `count` seeds from `first` on `jobs` threads. Returns the failure with the lowest seed; which one that is does
/// not depend on the number of threads.
#[must_use]
pub fn search(kind: Kind, first: u64, count: u64, bug: Option<Plant>, jobs: usize) -> Option<Failure> {
    let end = first.saturating_add(count);
    let next = AtomicU64::new(first);
    // Seeds from here on need not be run any more.
    let limit = AtomicU64::new(end);
    let lowest: Mutex<Option<Failure>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= limit.load(Ordering::Relaxed) {
                return;
            }
            let Err(failure) = run(kind, seed, bug, None) else { continue };
            limit.fetch_min(seed, Ordering::Relaxed);
            let mut lowest = lowest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if lowest.as_ref().is_none_or(|other| other.seed > seed) {
                *lowest = Some(failure);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    lowest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
