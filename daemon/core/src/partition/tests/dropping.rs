//! Dropping: empty at once, nothing left in the end, whatever crashes; and no dot is minted twice.

use super::*;
use crate::partition::dropping::TABLES;
use crate::segment::Kept;

const NEW: [NodeId; 2] = [NodeId(2), NodeId(3)];

/// A node with rows in every table, some of its log in segments.
fn node() -> Node {
    let mut node = Node::new(1);
    for number in 0..5 {
        node.put(&key(&format!("k{number}")), "v");
    }
    node.change(|partition, transaction| partition.spill(transaction, 1));
    node.change(|partition, transaction| partition.spill(transaction, 2));
    node.put(&key("late"), "v");
    node
}

fn rows(node: &Node) -> usize {
    let of = |table: &Table| {
        let range = table.prefix(PartitionId(0)).to_vec()..table.end(PartitionId(0));
        node.memory.0.keys().filter(|row| range.contains(&row.to_vec())).count()
    };
    TABLES.iter().map(of).sum()
}

fn is_as_new(partition: &mut Partition, memory: &Memory) {
    assert!(partition.durable().is_empty() && partition.log_records() == 0 && partition.residue() == 0);
    assert!(partition.read(memory, &key("k1")).unwrap().is_nothing());
    while !partition.survey(memory, LIMITS).unwrap() {}
    assert_eq!(partition.live_keys(), Some(0));
    let mut listed = 0;
    let mut count = |_: &Key| {
        listed += 1;
        ControlFlow::Continue(())
    };
    partition.list(memory, &key(""), None, &mut count).unwrap();
    assert_eq!(listed, 0);
}

/// Goes on by one piece.
fn go_on(node: &mut Node, kept: &Kept) -> Dropping {
    node.change(|partition, transaction| partition.go_on_dropping(transaction, kept, 2)).unwrap()
}

/// A process that finds what is on the disk of another.
fn restart(node: &mut Node) {
    node.partition = node.restarted();
    node.segments = Segments::recover(&node.memory).unwrap().0;
}

#[test]
fn it_may_be_dropped_when_every_new_replica_has_it() {
    let mut node = node();
    let tell = |node: &mut Node, peer, clock: Clock| {
        node.partition.told(peer, Moment(1), firm(clock), Moment(2)).unwrap();
    };
    let all = node.partition.durable().clone();
    tell(&mut node, NEW[0], all.clone());
    assert!(!node.partition.may_be_dropped(&NEW));
    let last = Dot { origin: node.partition.origin(), counter: 6 };
    tell(&mut node, NEW[1], all.minus(&[last].into_iter().collect()));
    assert!(!node.partition.may_be_dropped(&NEW));
    tell(&mut node, NEW[1], all);
    assert!(node.partition.may_be_dropped(&NEW));
    node.partition.forget(NEW[0]);
    assert!(!node.partition.may_be_dropped(&NEW), "what it told in an earlier life does not count");
}

#[test]
fn it_is_empty_at_once_and_gone_in_the_end_wherever_it_crashes() {
    for crash in 0..20 {
        let mut node = node();
        node.change(|partition, transaction| partition.begin_drop(transaction));
        is_as_new(&mut node.partition, &node.memory);
        let mut kept = node.segments.kept();
        let mut calls = 0;
        loop {
            if calls == crash {
                restart(&mut node);
                kept = node.segments.kept();
                is_as_new(&mut node.partition, &node.memory);
            }
            calls += 1;
            match go_on(&mut node, &kept) {
                Dropping::Working(_) => {}
                Dropping::Waiting => node.memory.commit({
                    let round = kept.round();
                    kept.finish(round)
                }),
                Dropping::Done => break,
            }
        }
        assert!(calls > 5 && !node.partition.is_dropping());
        assert_eq!(rows(&node), 0);
        restart(&mut node);
        assert!(!node.partition.is_dropping());
        is_as_new(&mut node.partition, &node.memory);
    }
}

#[test]
fn a_dot_is_not_minted_again_after_a_drop() {
    let mut node = node();
    node.change(|partition, transaction| partition.begin_drop(transaction));
    let mut kept = node.segments.kept();
    while go_on(&mut node, &kept) != Dropping::Done {
        let round = kept.round();
        node.memory.commit(kept.finish(round));
    }
    let again = node.put(&key("again"), "v");
    assert_eq!((again.seen.first, node.values(&key("again")).len()), (7, 1));
    let origin = node.partition.origin();
    assert_eq!(node.partition.heard_of(origin), 7);
}

#[test]
fn a_replica_that_comes_back_is_new() {
    let mut node = node();
    let all = node.partition.durable().clone();
    node.partition.told(NEW[0], Moment(1), firm(all), Moment(2)).unwrap();
    node.partition.forget(NEW[0]);
    let less = node.partition.told(NEW[0], Moment(3), firm(Clock::new()), Moment(4));
    assert!(less.is_err(), "its disk went back");
    node.partition.retain_peers(&NEW[1..]);
    assert_eq!(node.partition.told(NEW[0], Moment(3), firm(Clock::new()), Moment(4)), Ok(()));
    assert_eq!(node.change(|partition, transaction| partition.prune(transaction, &NEW[..1], 9)), None);
}
