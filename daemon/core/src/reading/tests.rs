//! Answers are merged under what each replica has seen, and whoever lacks something of the outcome is named.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::dot::{Epoch, NodeId, Origin};
use crate::entry::{Entry, Version};
use crate::hlc::Hlc;

fn dot(counter: u64) -> Dot {
    Dot { origin: Origin { node: NodeId(1), epoch: Epoch(1) }, counter }
}

/// What a replica holds that shows the writes `shown` and has seen `shown` and `superseded`.
fn held(shown: &[u64], superseded: &[u64]) -> Held {
    let mut held = Held::default();
    for counter in shown {
        held.entry.insert(dot(*counter), Version { stamp: Hlc(*counter), payload: Bytes::new() });
    }
    held.clock = shown.iter().chain(superseded).map(|counter| dot(*counter)).collect();
    held
}

/// What a replica that holds `theirs` answers; every dot is the key's.
fn compare(theirs: &Held, have: &Have) -> Compared {
    let known = theirs.known();
    let news = !have.known.covers(&known);
    if !news && Have::of(&theirs.entry, Clock::new()).siblings == have.siblings {
        return Compared::Same { known };
    }
    Compared::Differs { held: theirs.clone(), news }
}

fn settle(own: &Held, others: &[Held]) -> Settled<usize> {
    let mut reading = Reading::new(own.clone());
    let have = reading.have();
    for (place, theirs) in others.iter().enumerate() {
        reading.add(place, compare(theirs, &have));
    }
    assert_eq!(reading.answered(), 1 + others.len());
    reading.settle(|dots| !dots.is_empty())
}

fn shown(settled: &Settled<usize>) -> Vec<u64> {
    settled.held.entry.dots().map(|dot| dot.counter).collect()
}

#[test]
fn equal_replicas_agree() {
    let settled = settle(&held(&[2], &[1]), &[held(&[2], &[1]), held(&[2], &[1])]);
    assert!(settled.is_agreed());
    assert_eq!((shown(&settled), settled.holders()), (vec![2], 3));
}

#[test]
fn whoever_missed_a_write_lacks_it() {
    let (old, new) = (held(&[1], &[]), held(&[2], &[1]));
    let theirs = settle(&new, &[old.clone(), new.clone()]);
    assert_eq!(
        (shown(&theirs), theirs.own_lacks, theirs.lacking, theirs.holding),
        (vec![2], false, vec![0], vec![1])
    );
    let own = settle(&old, &[new, old.clone()]);
    assert_eq!((shown(&own), own.own_lacks, own.lacking, own.holding), (vec![2], true, vec![1], vec![0]));
}

#[test]
fn replicas_that_show_the_same_nothing_may_know_different_things() {
    let (deleted, never) = (held(&[], &[1, 2]), held(&[], &[]));
    let settled = settle(&deleted, std::slice::from_ref(&never));
    assert_eq!((settled.own_lacks, settled.lacking.len(), settled.holders()), (false, 1, 1));
    let settled = settle(&never, &[deleted, never.clone()]);
    assert_eq!((settled.own_lacks, &settled.lacking, &settled.holding), (true, &vec![1], &vec![0]));
    let repair = settled.repair(Key::new("default", b"k"));
    assert!(repair.entry.siblings.is_empty() && repair.entry.context.has(dot(1)));
}

#[test]
fn other_keys_do_not_matter() {
    let mut reading = Reading::new(held(&[1], &[7, 8]));
    reading.add(0, Compared::Same { known: [dot(1)].into_iter().collect() });
    let settled = reading.settle(|dots| dots.has(dot(1)));
    assert!(settled.is_agreed() && settled.held.clock.has(dot(8)));
}

/// A replica of a key of which ten writes were made: it has seen some, of each it shows or knows to be superseded.
fn replicas() -> impl Strategy<Value = Held> {
    vec(0..3_u8, 10).prop_map(|states| {
        let of = |wanted: u8| -> Vec<u64> {
            let counters = (1..).zip(&states).filter(|(_, state)| **state == wanted);
            counters.map(|(counter, _)| counter).collect()
        };
        held(&of(1), &of(2))
    })
}

proptest! {
    /// Whoever is not named shows what is returned and has seen all that concerns it; whoever is named does so after
    /// merging the repair.
    #[test]
    fn what_is_returned_is_held_by_those_not_named(own in replicas(), others in vec(replicas(), 1..4)) {
        let settled = settle(&own, &others);
        let known = settled.held.known();
        let mut lacking = settled.lacking.clone();
        lacking.extend(settled.own_lacks.then_some(usize::MAX));
        let all = others.iter().enumerate().chain([(usize::MAX, &own)]);
        for (place, replica) in all {
            let holds = replica.known() == known && replica.entry.dots().eq(settled.held.entry.dots());
            prop_assert_eq!(holds, !lacking.contains(&place));
            let repair = settled.repair(Key::new("default", b"k"));
            let none = Clock::new();
            let mine = Context { explicit: &replica.entry.context, implied: &replica.clock };
            let theirs = Context { explicit: &repair.entry.context, implied: &none };
            let merged = merge(&replica.entry, mine, &repair.entry, theirs);
            let shown = Entry { siblings: merged.siblings, context: Clock::new() };
            prop_assert!(shown.dots().eq(settled.held.entry.dots()));
        }
        for (place, replica) in others.iter().enumerate() {
            prop_assert!(replica.entry.dots().all(|dot| known.has(dot)), "replica {}", place);
        }
    }
}
