//! Every property can fail.

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::dot::{Dot, Epoch, NodeId, Origin};
use settle_core::entry::{Entry, Version};
use settle_core::hlc::Hlc;
use settle_core::key::Key;
use settle_core::layout::steps::{Position, Step};
use settle_core::merkle::{Secret, Tree};
use settle_core::partition::{PageLimits, Partition};
use settle_core::placement::Replication;
use settle_core::storage::{Batch, Table};
use settle_store::{Disk, SimDisk};

use super::layouts::Decided;
use super::residue::Leftover;
use super::*;
use crate::oracle::Made;
use crate::rng::Rng;
use crate::shape::Shape;
use crate::view::KeyView;

fn dot(counter: u64) -> Dot {
    Dot { origin: Origin { node: NodeId(1), epoch: Epoch(1) }, counter }
}

/// One key with a put, and a delete of it; both acknowledged.
fn history() -> Oracle {
    let mut oracle = Oracle::new(1, 1);
    for (counter, payload) in [(1, Some(Bytes::from_static(b"v"))), (2, None)] {
        let context: Clock = (1..=counter).map(dot).collect();
        let made = Made {
            key: 0,
            dot: dot(counter),
            payload,
            contexts: [&Clock::new(), &context],
            over: None,
            coordinator: 0,
            operation: 0,
        };
        let write = oracle.made(made).unwrap();
        oracle.acknowledge(counter * 10, 0, write);
    }
    oracle
}

fn bits(numbers: &[usize]) -> Bits {
    numbers.iter().fold(Bits::default(), |mut bits, number| {
        bits.add(*number);
        bits
    })
}

/// A view of the key that shows `siblings` and has seen `clocked`.
fn view(siblings: &[usize], clocked: &[usize]) -> View {
    let clock = clocked.iter().map(|number| dot(*number as u64 + 1)).collect();
    let (siblings, clocked) = (bits(siblings), bits(clocked));
    View { clock, keys: vec![KeyView { siblings, clocked, seen: clocked, ..KeyView::default() }] }
}

fn look(before: &View, now: &View, touched: Touch) -> Result<(), &'static str> {
    let oracle = history();
    let look =
        Look { place: 1, partition: 0, answers: true, before, now, touched, always: true, oracle: &oracle };
    check(&look).map_err(|broken| broken.property)
}

#[test]
fn a_replica_may_show_what_it_has_seen_and_nothing_superseded() {
    let empty = view(&[], &[]);
    let check = |siblings: &[usize], seen: &[usize]| look(&empty, &view(siblings, seen), Touch::Reported);
    assert_eq!(check(&[0], &[0]), Ok(()));
    assert_eq!(check(&[], &[0, 1]), Ok(()));
    assert_eq!(check(&[0], &[0, 1]), Err("superseded"));
    assert_eq!(check(&[0], &[]), Err("covered"));
    assert_eq!(check(&[], &[0]), Err("kept"));
    let mut strange = view(&[], &[]);
    strange.keys[0].strangers.push(dot(9));
    assert_eq!(look(&empty, &strange, Touch::Reported), Err("covered"));
}

#[test]
fn what_was_readable_stays_and_nothing_is_readable_too_early() {
    let (empty, put) = (view(&[], &[]), view(&[0], &[0]));
    assert_eq!(look(&empty, &put, Touch::Staged), Err("durable"));
    assert_eq!(look(&put, &empty, Touch::Reported), Err("durable"));
    assert_eq!(look(&put, &empty, Touch::Restarted), Err("durable"));
    assert_eq!(look(&empty, &put, Touch::Restarted), Ok(()));
    assert!(durable::check_restart(true, 0).is_ok() && durable::check_restart(false, 0).is_err());
}

#[test]
fn acknowledged_writes_are_reflected_where_they_must_be() {
    let oracle = history();
    let (all, put) = (view(&[], &[0, 1]), view(&[0], &[0]));
    assert!(acknowledged::check(&oracle, &all, 0, |_| true).is_ok());
    assert!(acknowledged::check(&oracle, &put, 0, |_| true).is_err());
    assert!(acknowledged::check(&oracle, &put, 0, |coordinator| coordinator == 1).is_ok());
    // The put was acknowledged at 10, the delete at 20.
    assert!(bound::check(&oracle, &put, 0, 0..20).is_ok());
    assert!(bound::check(&oracle, &put, 0, 0..21).is_err());
    assert!(bound::check(&oracle, &put, 0, 21..40).is_ok());
    assert!(bound::check_provable(Some(5), 5, 0).is_ok());
    assert!(bound::check_provable(Some(6), 5, 0).is_err() && bound::check_provable(None, 5, 0).is_err());
}

#[test]
fn replicas_that_differ_have_not_converged() {
    let oracle = history();
    let (put, all) = ([view(&[0], &[0])], [view(&[], &[0, 1])]);
    let silent = [view(&[0], &[0, 1])];
    let agree = |a: &[View], b: &[View]| {
        let pair = [(0, &a[0]), (1, &b[0])];
        convergence::check(&oracle, 0, pair.into_iter()).is_ok()
    };
    assert!(agree(&put, &put.clone()));
    assert!(!agree(&put, &all) && !agree(&put, &silent) && !agree(&all, &silent));
}

#[test]
fn a_tree_of_something_else_is_noticed() {
    let origin = Origin { node: NodeId(1), epoch: Epoch(2) };
    let disk = SimDisk::new();
    let mut partition = Partition::open(Oracle::partition_id(0), origin, &disk, Vec::new()).unwrap();
    let check = |partition: &Partition| trees::check(partition, &disk, history().keys.iter(), 0).is_ok();
    assert!(partition.tree().is_none() && check(&partition));
    assert!(partition.survey(&disk, PageLimits { records: 1, bytes: 1 }).unwrap() && check(&partition));
    let mut row = Batch::default();
    let entry = Entry {
        siblings: vec![(dot(1), Version { stamp: Hlc(1), payload: Bytes::from_static(b"v") })],
        ..Entry::default()
    };
    row.put(Table::Entry.key_row(Oracle::partition_id(0), &history().keys[0].key), entry.to_bytes());
    disk.commit(&[row], true).unwrap();
    assert!(!check(&partition), "a row that came by itself");
    let (empty, mut other) = (Tree::new(Secret::new(&[1; 32]), 2), Tree::new(Secret::new(&[1; 32]), 2));
    other.replace(&history().keys[0].key, &Entry::default(), &entry);
    let pair = |trees, views| trees::check_pair(trees, views, [0, 1]).is_ok();
    let (none, put) = (view(&[], &[]), view(&[0], &[0]));
    let differ = [Some(&empty), Some(&other)];
    assert!(
        pair(differ, [&none, &put])
            && !pair(differ, [&put, &put])
            && pair([Some(&empty), None], [&put, &put])
    );
    assert!(!pair([None; 2], [&view(&[], &[0]), &put]), "the same clock and other values");
}

#[test]
fn a_dot_is_minted_once() {
    let mut oracle = history();
    let none = Clock::new();
    let again = Made {
        key: 0,
        dot: dot(2),
        payload: None,
        contexts: [&none, &none],
        over: None,
        coordinator: 2,
        operation: 0,
    };
    assert_eq!(oracle.made(again).unwrap_err().property, "dots");
}

#[test]
fn nothing_is_left_over_but_the_names_of_lost_writes() {
    let origin = Origin { node: NodeId(1), epoch: Epoch(2) };
    let partition = Partition::open(Oracle::partition_id(0), origin, &SimDisk::new(), Vec::new()).unwrap();
    let leftover = |row, value, context: &[Dot], held, living| Leftover {
        key: Key::new("default", b"k"),
        row,
        value,
        context: context.iter().copied().collect(),
        held,
        living,
    };
    let passes = |left: Leftover| residue::check(&partition, 0, &[left]).is_ok();
    assert!(passes(leftover(false, false, &[], false, false)));
    assert!(passes(leftover(true, true, &[], false, false)));
    assert!(!passes(leftover(true, false, &[], false, false)), "an empty row");
    assert!(!passes(leftover(true, true, &[dot(1)], true, false)), "a context that exchanges should settle");
    assert!(!passes(leftover(true, true, &[dot(1)], false, true)), "a write whose node still has it");
    assert!(!passes(leftover(true, true, &[dot(1)], false, false)), "the partition does not know of it");
}

#[test]
fn clocks_that_are_told_and_records_that_are_pruned_are_checked_against_what_is_readable() {
    let (put, all) = (view(&[0], &[0]), view(&[], &[0, 1]));
    assert!(
        durable::check_told(&put.clock, &all, 0).is_ok() && durable::check_told(&all.clock, &put, 0).is_err()
    );
    let pruned = |dot| log::check(dot, 0, [(0, &all), (1, &put)].into_iter()).is_ok();
    assert!(pruned(dot(1)) && !pruned(dot(2)));
    let brought = |receiver, sender| convergence::check_exchange(receiver, sender, (0, 1)).is_ok();
    assert!(brought(&all, &put) && !brought(&put, &all));
}

#[test]
fn nodes_that_run_ahead_and_copies_dropped_too_early_are_noticed() {
    let at = |version, step| Position { version, step };
    let positions = |one, other| layouts::check_positions([(0, one), (1, other)].into_iter()).is_ok();
    let before = at(1, None);
    let [first, second, .., last] = Step::EVERY.map(|step| at(1, Some(step)));
    assert!(positions(before, first) && positions(second, first) && !positions(before, second));
    // After the last step nothing is different for requests.
    assert!(positions(last, at(2, None)) && positions(last, at(2, Some(Step::WriteBoth))));
    assert!(!positions(last, at(2, Some(Step::Pull))));
    let (one, both) = (view(&[0], &[0]), view(&[], &[0, 1]));
    let drop = |dropped, new| layouts::check_drop(dropped, 0, [(1, new)].into_iter()).is_ok();
    assert!(drop(&one, &both) && !drop(&both, &one));
    assert!(layouts::check_dropped(0, 0, 0).is_ok() && layouts::check_dropped(1, 0, 0).is_err());
}

#[test]
fn a_second_decision_is_noticed() {
    let shape = Shape::draw_layouts(&mut Rng::new(1));
    let state = shape.first_layout().unwrap();
    let hosts = state.current().hosts().to_vec();
    let next = |replicas| state.current().next(hosts.clone(), Replication::Everywhere(replicas)).unwrap().0;
    let mut decided = Decided::default();
    assert!(decided.check_decided(&state, 0).is_ok());
    assert!(decided.note_decided(&next(1), 0).is_ok() && decided.note_decided(&next(1), 1).is_ok());
    assert!(decided.note_decided(&next(2), 1).is_err());
    let mut ahead = state.clone();
    assert!(ahead.decide(next(2)) && decided.check_decided(&ahead, 0).is_err());
}

/// One key with writes at quorum, each over those before it; `None` deletes.
fn settled(payloads: &[Option<&'static str>]) -> Oracle {
    let mut oracle = Oracle::new(1, 1);
    for (counter, payload) in (1..).zip(payloads) {
        let operation = oracle.begin(0, true);
        let context: Clock = (1..=counter).map(dot).collect();
        let payload = payload.map(|payload| Bytes::from_static(payload.as_bytes()));
        let contexts = [&context, &context];
        let made =
            Made { key: 0, dot: dot(counter), payload, contexts, over: None, coordinator: 0, operation };
        oracle.made(made).unwrap();
        oracle.settle(counter, 0, operation);
    }
    oracle
}

#[test]
fn no_majority_shows_what_a_later_quorum_overwrote_nor_lacks_what_it_wrote() {
    let oracle = settled(&[Some("old"), Some("new")]);
    let check = |one: &View, two: &View| overwritten::check(&oracle, &[(0, one), (2, two)]).is_ok();
    let (old, new) = (view(&[0], &[0]), view(&[1], &[1]));
    let (over, gone) = (view(&[1], &[0, 1]), view(&[], &[0, 1]));
    assert!(check(&over, &old) && check(&over, &new) && check(&new, &new));
    assert!(!check(&new, &old), "both are shown");
    assert!(!check(&old, &view(&[], &[])), "the new one is missing, the old one is there");
    assert!(!check(&gone, &new), "nobody has superseded it");
}

#[test]
fn the_last_value_vanishes_only_if_it_was_deleted() {
    let nothing = view(&[], &[0, 1]);
    let passes = |payloads| overwritten::check_rest(&settled(payloads), &nothing, 0).is_ok();
    assert!(!passes(&[Some("a"), Some("b")]) && !passes(&[None, Some("b")]));
    assert!(passes(&[Some("a"), None]) && passes(&[None, None]) && passes(&[]));
}

#[test]
fn who_lacks_what_was_dropped_has_diverged_and_nobody_has_at_rest() {
    let lacks: Clock = [dot(1)].into_iter().collect();
    let passes = |lacks: &Clock, marked| diverged::check(lacks, marked, 0, 1).is_ok();
    assert!(!passes(&lacks, false) && passes(&lacks, true) && passes(&Clock::new(), false));
    let origin = Origin { node: NodeId(1), epoch: Epoch(1) };
    let disk = SimDisk::new();
    let open = || Partition::open(Oracle::partition_id(0), origin, &disk, Vec::new()).unwrap();
    assert_eq!(diverged::check_rest(&open(), 0), Ok(()));
    let mut mark = Batch::default();
    mark.put(Table::Diverged.node_row(Oracle::partition_id(0), NodeId(2)), lacks.to_bytes());
    disk.commit(&[mark], true).unwrap();
    assert!(diverged::check_rest(&open(), 0).is_err());
}
