//! Properties of the judgement, against histories made up at random and against a simple model.

mod history;
mod polling;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn canary(seq: Seq, slot: Slot, start: Instant) -> Canary {
    Canary { seq, slot, start }
}

fn read(slot: Slot, start: Instant, end: Instant, seen: Seen) -> Read {
    Read { slot, start, end, seen }
}

/// A read as start, time until the replica answers, time until the answer is there, in milliseconds.
fn reads() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    proptest::collection::vec((0..1_000_u64, 0..50_u64, 0..50_u64), 1..40)
}

proptest! {
    /// However reads overlap, the moment at which an honest replica took the canary in lies within
    /// the interval.
    #[test]
    fn visibility_holds_the_truth(visible in 0..900_u64, mut reads in reads()) {
        let start = Instant::now();
        reads.sort_by_key(|(at, answers, arrives)| at + answers + arrives);
        let mut watch = Watch::new(canary(1, 0, start));
        for (at, answers, arrives) in reads {
            let seen = if at + answers >= visible { Seen::Canary(1) } else { Seen::Absent };
            watch.observe(&read(0, start + ms(at), start + ms(at + answers + arrives), seen));
            if let Some(Visibility { low, high }) = watch.visibility() {
                prop_assert!(low <= ms(visible) && ms(visible) <= high, "{low:?} {visible} {high:?}");
            }
        }
    }

    /// A replica may lie: the interval is still one, and ends no earlier than the last old value.
    #[test]
    fn window_ends_after_the_last_old_value(shows in proptest::collection::vec(any::<bool>(), 1..30)) {
        let start = Instant::now();
        let mut watch = Watch::new(canary(1, 0, start));
        let mut last_miss = None;
        for (step, shown) in (0_u64..).zip(shows) {
            let (from, to) = (start + ms(10 * step), start + ms(10 * step + 5));
            watch.observe(&read(0, from, to, if shown { Seen::Canary(1) } else { Seen::Absent }));
            if !shown {
                last_miss = Some(ms(10 * step));
            }
            prop_assert_eq!(watch.is_shown(), shown);
            if let Some(Visibility { low, high }) = watch.visibility() {
                prop_assert!(low <= high);
                prop_assert_eq!(low, last_miss.unwrap_or_default());
            }
        }
    }
}

#[test]
fn never_missed_is_counted_from_the_start() {
    let start = Instant::now();
    let mut watch = Watch::new(canary(1, 0, start));
    watch.observe(&read(0, start + ms(1), start + ms(2), Seen::Canary(1)));
    assert_eq!(watch.visibility(), Some(Visibility { low: ms(0), high: ms(2) }));
    assert_eq!(watch.visibility().unwrap().resolution(), ms(2));
}

#[test]
fn a_newer_value_shows_an_older_canary() {
    let start = Instant::now();
    let mut watch = Watch::new(canary(3, 0, start));
    watch.observe(&read(0, start + ms(1), start + ms(2), Seen::Canary(2)));
    watch.observe(&read(0, start + ms(3), start + ms(4), Seen::Foreign));
    watch.observe(&read(0, start + ms(5), start + ms(6), Seen::Canary(9)));
    assert_eq!(watch.visibility(), Some(Visibility { low: ms(3), high: ms(6) }));
}

#[test]
fn verdicts() {
    assert_eq!(judge(5, Seen::Canary(5)), Freshness::Fresh);
    assert_eq!(judge(5, Seen::Canary(6)), Freshness::Fresh);
    assert_eq!(judge(5, Seen::Canary(4)), Freshness::Stale);
    assert_eq!(judge(5, Seen::Foreign), Freshness::Stale);
    assert_eq!(judge(5, Seen::Absent), Freshness::Missing);
    assert!(Freshness::Missing.is_stale() && !Freshness::Fresh.is_stale());
}

#[test]
fn convergence_is_the_slowest_peer() {
    let mut all = Convergence::new(["a", "b", "c"].map(str::to_owned));
    all.settle("a", ms(7), true);
    all.settle("b", ms(3), true);
    assert_eq!(all.result(), None);
    let mut lost = all.clone();
    all.settle("c", ms(5), true);
    assert_eq!(all.result(), Some(Converged { after: ms(7), complete: true }));
    // Nothing is dropped: what never showed up counts with the deadline.
    lost.settle("c", ms(10_000), false);
    assert_eq!(lost.result(), Some(Converged { after: ms(10_000), complete: false }));
    // A peer that left is not waited for, and a canary of nobody has no convergence.
    let mut alone = Convergence::new(["a".to_owned()]);
    alone.leave("a");
    assert!(alone.is_over());
    assert_eq!(alone.result(), None);
}

#[test]
fn old_value_after_a_newer_one_is_a_regression() {
    let start = Instant::now();
    let mut owed = Owed::default();
    owed.acknowledge(&canary(1, 0, start));
    assert_eq!(owed.observe(&read(0, start, start + ms(10), Seen::Canary(1))), None);
    // It began before the newer one had arrived: nobody knows which was answered first.
    assert_eq!(owed.observe(&read(0, start + ms(9), start + ms(20), Seen::Absent)), None);
    assert_eq!(owed.lag(start + ms(30)), ms(0));
    // A value of somebody else may be newer.
    assert_eq!(owed.observe(&read(0, start + ms(20), start + ms(21), Seen::Foreign)), None);
    let regressed = owed.observe(&read(0, start + ms(22), start + ms(23), Seen::Absent));
    assert_eq!(regressed, Some(Regressed { slot: 0, newest: 1, found: Seen::Absent }));
    // It is owed again, as old as it is.
    assert_eq!(owed.lag(start + ms(30)), ms(30));
    assert_eq!(owed.observe(&read(0, start + ms(31), start + ms(32), Seen::Canary(1))), None);
    assert_eq!(owed.lag(start + ms(33)), ms(0));
    // Swept by somebody else while this prober was silent.
    owed.forget_seen();
    assert_eq!(owed.observe(&read(0, start + ms(40), start + ms(41), Seen::Absent)), None);
    assert_eq!(owed.lag(start + ms(50)), ms(0));
}
