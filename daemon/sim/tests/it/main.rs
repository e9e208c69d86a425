//! The simulator as the daemon's tests run it: the kernel passes, planted bugs do not, and a seed is a whole run.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use settle_core::plant::{ALL, LAYOUT, Plant};
use settle_sim::campaign::{Failure, run, search};
use settle_sim::shape::Kind;

const SEEDS: u64 = 300;
/// A cluster whose layout changes takes ten times as long.
const LAYOUT_SEEDS: u64 = 60;
/// Every planted bug must be found within this many.
const PLANT_SEEDS: u64 = 2_000;

fn find(kind: Kind, count: u64, bug: Option<Plant>) -> Option<Failure> {
    search(kind, 0, count, bug, available_parallelism().map_or(1, NonZeroUsize::get))
}

#[test]
fn the_kernel_keeps_every_promise() {
    assert_eq!(find(Kind::Steady, SEEDS, None), None);
}

#[test]
fn the_kernel_keeps_every_promise_while_layouts_change() {
    assert_eq!(find(Kind::Layouts, LAYOUT_SEEDS, None), None);
}

#[test]
fn every_planted_bug_is_found() {
    for bug in ALL {
        let found = find(Kind::Steady, PLANT_SEEDS, Some(*bug));
        assert!(found.is_some(), "{bug:?} was not found in {PLANT_SEEDS} seeds");
    }
}

#[test]
fn every_planted_bug_of_layout_changes_is_found() {
    for bug in LAYOUT {
        let found = find(Kind::Layouts, PLANT_SEEDS, Some(*bug));
        assert!(found.is_some(), "{bug:?} was not found in {PLANT_SEEDS} seeds");
    }
}

#[test]
fn a_seed_is_a_whole_run() {
    let twice = |kind, seed| [(); 2].map(|()| run(kind, seed, None, None));
    let mut hashes: Vec<u64> = Vec::new();
    for seed in 0..10 {
        let kind = if seed % 2 == 0 { Kind::Steady } else { Kind::Layouts };
        let [once, again] = twice(kind, seed);
        assert_eq!(once, again);
        hashes.extend(once);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10, "different seeds are different runs");
}

/// A failure is the same one on every replay, and does not depend on the number of threads.
#[test]
fn a_failing_seed_fails_again() {
    let bug = Some(Plant::ProofStampedWhenCovered);
    let failure = find(Kind::Steady, PLANT_SEEDS, bug).unwrap();
    assert_eq!(search(Kind::Steady, 0, PLANT_SEEDS, bug, 1), Some(failure.clone()));
    assert_eq!(run(Kind::Steady, failure.seed, bug, None), Err(failure));
}
