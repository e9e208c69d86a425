//! Clocks against the plainest model of a set of dots.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::dot::Epoch;

fn origin(index: u8) -> Origin {
    Origin { node: NodeId(u64::from(index % 3)), epoch: Epoch(u64::from(index / 3)) }
}

fn dots() -> impl Strategy<Value = Vec<Dot>> {
    let dot = (0..6_u8, 1..24_u64).prop_map(|(index, counter)| Dot { origin: origin(index), counter });
    prop::collection::vec(dot, 0..60)
}

fn model(clock: &Clock) -> BTreeSet<Dot> {
    clock.ranges().flat_map(DotRange::dots).collect()
}

proptest! {
    #[test]
    fn a_clock_is_the_set_of_its_dots(a in dots(), b in dots()) {
        let (sa, sb): (BTreeSet<Dot>, BTreeSet<Dot>) = (a.iter().copied().collect(), b.iter().copied().collect());
        let (ca, cb): (Clock, Clock) = (a.iter().copied().collect(), b.iter().copied().collect());
        prop_assert_eq!(&model(&ca), &sa);
        prop_assert_eq!(ca.count(), sa.len() as u64);
        prop_assert_eq!(ca.covers(&cb), sb.is_subset(&sa));
        prop_assert_eq!(model(&ca.minus(&cb)), sa.difference(&sb).copied().collect::<BTreeSet<_>>());
        let mut joined = ca.clone();
        joined.join(&cb);
        prop_assert_eq!(model(&joined), sa.union(&sb).copied().collect::<BTreeSet<_>>());
        for dot in sa.union(&sb) {
            prop_assert_eq!(ca.has(*dot), sa.contains(dot));
        }
        prop_assert_eq!(ca == cb, sa == sb);
    }

    #[test]
    fn a_clock_comes_back_from_its_bytes(a in dots()) {
        let clock: Clock = a.into_iter().collect();
        prop_assert_eq!(Clock::from_bytes(clock.to_bytes()), Ok(clock));
    }

    #[test]
    fn any_bytes_decode_to_a_clock_with_one_encoding_or_to_an_error(bytes: Vec<u8>) {
        if let Ok(clock) = Clock::from_bytes(Bytes::from(bytes)) {
            prop_assert_eq!(Clock::from_bytes(clock.to_bytes()), Ok(clock));
        }
    }
}

#[test]
fn the_part_for_clients_keeps_the_newest_epoch_of_the_named_nodes() {
    let clock: Clock = (0..6).map(|index| Dot { origin: origin(index), counter: 1 }).collect();
    let part = clock.newest_of(&[NodeId(0), NodeId(2)]);
    assert_eq!(model(&part), [3, 5].map(|index| Dot { origin: origin(index), counter: 1 }).into());
}

/// The differences of clocks with many gaps are computed under a partition's lock. In the square of their number these
/// would take an hour.
#[test]
fn clocks_with_many_gaps_are_compared_in_one_pass() {
    let gaps = 400_000;
    let every = |step: usize, offset: u64| -> Clock {
        let dots =
            (1..=gaps).step_by(step).map(|counter| Dot { origin: origin(0), counter: 2 * counter + offset });
        dots.collect()
    };
    let (even, odd, fourth) = (every(1, 0), every(1, 1), every(2, 0));
    assert_eq!(even.minus(&odd), even);
    assert_eq!(even.minus(&fourth).count(), gaps / 2);
    assert_eq!(even.intersection(&fourth), fourth);
    assert!(even.covers(&fourth) && !odd.covers(&fourth));
}
