//! One replica's promises that need no network: what is pending is not readable, what is settled leaves nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::*;
use crate::codec::{Decode, Encode};
use crate::dot::Epoch;
use crate::entry::Version;
use crate::hlc::Hlc;
use crate::merkle::{DEPTH, Secret, Tree};
use crate::segment::Segments;

mod collect;
mod dropping;
mod full;
mod hints;
mod repair;
mod verify;

/// Committed rows, in memory.
#[derive(Default, Clone)]
struct Memory(BTreeMap<Bytes, Bytes>);

impl Memory {
    fn commit(&mut self, batch: Batch) {
        for (row, value) in batch.rows {
            match value {
                Some(value) => self.0.insert(row, value),
                None => self.0.remove(&row),
            };
        }
    }
}

impl Rows for Memory {
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.get(row).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        for (row, value) in self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if visit(row, value.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

use std::ops::Bound;

struct Node {
    memory: Memory,
    segments: Segments,
    partition: Partition,
    /// In seconds.
    now: u64,
}

const LIMITS: PageLimits = PageLimits { records: 2, bytes: 1 << 20 };

impl Node {
    fn new(node: u64) -> Self {
        let memory = Memory::default();
        let (segments, _) = Segments::recover(&memory).unwrap();
        let origin = Origin { node: NodeId(node), epoch: Epoch(1) };
        let mut partition = Partition::open(PartitionId(0), origin, &memory, Vec::new()).unwrap();
        // Small, so that entries are found both in it and beside it.
        partition.set_cache(1_000);
        Self { memory, segments, partition, now: 1 }
    }

    /// Runs a change and commits it at once.
    fn change<T>(&mut self, run: impl FnOnce(&mut Partition, &mut Transaction<'_>) -> T) -> T {
        let mut batch = Batch::default();
        let done = run(&mut self.partition, &mut Transaction { rows: &self.memory, batch: &mut batch });
        let mut group = vec![batch];
        self.segments.seal(&mut group, self.now);
        group.into_iter().for_each(|batch| self.memory.commit(batch));
        self.partition.committed(self.partition.ticket(), 1);
        done
    }

    /// Cleans until no log segment is left.
    fn remove_segments(&mut self) {
        let mut kept = self.segments.kept();
        for _ in 0..2 {
            let (round, now) = (kept.round(), self.now);
            self.change(|partition, transaction| partition.spill(transaction, now));
            self.memory.commit(kept.finish(round));
        }
        assert!(self.memory.0.keys().all(|row| row[0] != Table::Segment as u8));
    }

    /// What a new process finds on its disk.
    fn restarted(&self) -> Partition {
        let origin = Origin { node: self.partition.origin().node, epoch: Epoch(2) };
        let (_, mut records) = Segments::recover(&self.memory).unwrap();
        let logged = records.remove(&PartitionId(0)).unwrap_or_default();
        Partition::open(PartitionId(0), origin, &self.memory, logged).unwrap()
    }

    fn put(&mut self, key: &Key, value: &str) -> Delta {
        let version = Version { stamp: Hlc(1), payload: Bytes::from(value.to_owned()) };
        self.write(key, Some(version))
    }

    fn write(&mut self, key: &Key, version: Option<Version>) -> Delta {
        let write = Write { key: key.clone(), version, context: Clock::new(), over_all_seen: true };
        self.change(|partition, transaction| partition.write(transaction, write)).unwrap().delta
    }

    fn values(&self, key: &Key) -> Vec<Bytes> {
        let entry = self.partition.read(&self.memory, key).unwrap();
        entry.siblings.into_iter().map(|(_, version)| version.payload).collect()
    }

    fn pull_all(&mut self, from: &mut Self) {
        while let LogAnswer::Page(page) =
            from.partition.serve_log(&from.memory, self.partition.durable(), LIMITS).unwrap()
        {
            self.change(|partition, transaction| partition.take_log(transaction, &page)).unwrap();
            if !page.more {
                return;
            }
        }
        full::exchange(self, from, |_, _, _| {});
    }
}

fn firm(clock: Clock) -> Told {
    Told { clock, firm: true }
}

fn key(name: &str) -> Key {
    Key::new("default", name.as_bytes())
}

#[test]
fn what_is_not_durable_is_neither_readable_nor_told_but_built_upon() {
    let mut node = Node::new(1);
    let k = key("k");
    node.put(&k, "old");
    let told = node.partition.durable().clone();
    let mut batch = Batch::default();
    let mut transaction = Transaction { rows: &node.memory, batch: &mut batch };
    for value in ["new", "newer"] {
        let version = Some(Version { stamp: Hlc(2), payload: Bytes::from(value) });
        let write = Write { key: k.clone(), version, context: Clock::new(), over_all_seen: true };
        node.partition.write(&mut transaction, write).unwrap();
    }
    // Storage may show the rows a moment before their commit is reported.
    node.memory.commit(batch);
    assert_eq!((node.values(&k), node.partition.durable()), (vec![Bytes::from("old")], &told));
    node.partition.committed(Ticket(2), 2);
    assert_eq!(node.values(&k), [Bytes::from("new")]);
    node.partition.committed(Ticket(3), 3);
    assert_eq!((node.values(&k), node.partition.durable().count()), (vec![Bytes::from("newer")], 3));
}

#[test]
fn a_deleted_key_leaves_no_row_once_all_replicas_have_the_delete() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("secret");
    let put = a.put(&k, "value");
    b.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
    let delete = b.write(&k, None);
    a.change(|partition, transaction| partition.apply(transaction, &delete)).unwrap();
    for (node, other) in [(&mut a, 2), (&mut b, 1)] {
        let clock = node.partition.durable().clone();
        node.partition.told(NodeId(other), Moment(1), firm(clock), Moment(2)).unwrap();
        node.change(|partition, transaction| partition.prune(transaction, &[NodeId(other)], 100));
        node.remove_segments();
        assert!(
            node.memory.0.iter().all(|(row, value)| !row.ends_with(b"secret") && !value.ends_with(b"secret"))
        );
        assert_eq!(node.partition.log_records(), 0);
    }
    // A late duplicate brings nothing back.
    a.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
    assert!(a.values(&k).is_empty());
}

#[test]
fn a_delete_that_overtakes_its_write_keeps_a_context_until_the_write_is_seen() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let put = a.put(&k, "value");
    let delete = a.write(&k, None);
    b.change(|partition, transaction| partition.apply(transaction, &delete)).unwrap();
    assert_eq!(b.partition.residue(), 1);
    b.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
    assert!(b.values(&k).is_empty());
    b.change(|partition, transaction| partition.sweep(transaction, 10)).unwrap();
    assert_eq!(
        (b.partition.residue(), b.memory.get(&Table::Entry.key_row(PartitionId(0), &k)).unwrap()),
        (0, None)
    );
}

#[test]
fn both_exchanges_bring_a_replica_into_step() {
    for pruned in [false, true] {
        let (mut a, mut b) = (Node::new(1), Node::new(2));
        for index in 0..7 {
            a.put(&key(&format!("k{index}")), "a");
        }
        let gone = key("gone");
        let put = a.put(&gone, "x");
        b.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
        a.write(&gone, None);
        if pruned {
            let clock = a.partition.durable().clone();
            a.partition.told(NodeId(2), Moment(1), firm(clock), Moment(2)).unwrap();
            a.change(|partition, transaction| partition.prune(transaction, &[NodeId(2)], 100));
        }
        b.put(&key("own"), "b");
        b.pull_all(&mut a);
        assert!(b.partition.durable().covers(a.partition.durable()));
        assert_eq!(b.values(&key("k3")), [Bytes::from("a")]);
        assert_eq!((b.values(&gone).len(), b.values(&key("own")).len()), (0, 1));
        while b.partition.residue() > 0 {
            b.change(|partition, transaction| partition.sweep(transaction, 3)).unwrap();
        }
    }
}

#[test]
fn log_records_above_a_write_that_was_lost_in_a_crash_are_pruned_too() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.put(&key("lost"), "x");
    let put = a.put(&key("k"), "x");
    b.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
    let clock = b.partition.durable().clone();
    b.partition.told(NodeId(3), Moment(1), firm(clock), Moment(2)).unwrap();
    b.change(|partition, transaction| partition.prune(transaction, &[NodeId(3)], 100));
    assert_eq!((b.partition.log_records(), b.partition.durable().count()), (0, 1));
}

/// Each dot becomes a log record with the key: a few bytes must not become a million of those.
#[test]
fn a_delta_with_more_dots_than_versions_is_refused() {
    let mut a = Node::new(1);
    let (put, delete) = (a.put(&key("k"), "v"), a.write(&key("k"), None));
    for delta in [put, delete] {
        assert_eq!(Delta::from_bytes(delta.to_bytes()), Ok(delta.clone()));
        let seen = DotRange { last: delta.seen.last + 1, ..delta.seen };
        assert!(Delta::from_bytes(Delta { seen, ..delta }.to_bytes()).is_err());
    }
}

/// The bound is on rows that storage must remove: a partition that is written faster than that shrinks back too.
#[test]
fn records_without_a_row_are_all_pruned_at_once() {
    let mut a = Node::new(1);
    for index in 0..5 {
        a.put(&key(&format!("row{index}")), "v");
    }
    a.remove_segments();
    for index in 0..50 {
        a.put(&key(&format!("fresh{index}")), "v");
    }
    let clock = a.partition.durable().clone();
    a.partition.told(NodeId(2), Moment(1), firm(clock), Moment(2)).unwrap();
    for left in [2, 0, 0] {
        a.change(|partition, transaction| partition.prune(transaction, &[NodeId(2)], 3));
        assert_eq!(a.partition.log_records(), left);
    }
    assert_eq!(a.restarted().durable(), a.partition.durable());
}

#[test]
fn a_log_record_is_pruned_once_although_storage_still_shows_it() {
    let mut a = Node::new(1);
    a.put(&key("k"), "1");
    let clock = a.partition.durable().clone();
    a.put(&key("k"), "2");
    a.partition.told(NodeId(2), Moment(1), firm(clock), Moment(2)).unwrap();
    let mut batch = Batch::default();
    let mut transaction = Transaction { rows: &a.memory, batch: &mut batch };
    let tickets = [0; 2].map(|_| a.partition.prune(&mut transaction, &[NodeId(2)], 100));
    assert_eq!((tickets[0].is_some(), tickets[1], a.partition.log_records()), (true, None, 1));
}

#[test]
fn a_restart_recovers_clock_log_and_residue() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.put(&key("a"), "1");
    let delete = a.write(&key("a"), None);
    b.change(|partition, transaction| partition.apply(transaction, &delete)).unwrap();
    b.put(&key("b"), "2");
    let again = b.restarted();
    assert_eq!((again.durable(), again.residue(), again.log_records()), (b.partition.durable(), 1, 2));
}

#[test]
fn a_bound_needs_every_peer_and_counts_from_the_question() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let put = b.put(&key("k"), "v");
    let others = [NodeId(2)];
    a.partition.told(NodeId(2), Moment(10), firm(b.partition.durable().clone()), Moment(20)).unwrap();
    assert_eq!(a.partition.bound(&others, Moment(30)), None);
    a.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
    assert_eq!(a.partition.bound(&others, Moment(40)), Some(30));
    a.partition.told_same(NodeId(2), Moment(50), Moment(55));
    assert_eq!(a.partition.bound(&others, Moment(60)), Some(10));
    assert_eq!(a.partition.bound(&[NodeId(2), NodeId(3)], Moment(60)), None);
}

#[test]
fn live_keys_are_counted_once_and_kept_current() {
    let mut a = Node::new(1);
    a.put(&key("a"), "1");
    a.put(&Key::new("_canary", b"c"), "1");
    while !a.partition.survey(&a.memory, LIMITS).unwrap() {
        assert_eq!(a.partition.live_keys(), None);
    }
    a.put(&key("b"), "1");
    a.put(&key("b"), "2");
    a.write(&key("a"), None);
    assert_eq!(a.partition.live_keys(), Some(1));
}

/// The survey goes on while keys before and after its page change, and changes are at every stage.
#[test]
fn the_tree_stands_for_what_is_durable_whatever_happens_while_it_is_built() {
    let mut a = Node::new(1);
    for name in ["a", "b", "c", "d", "e"] {
        a.put(&key(name), "old");
    }
    let stage = |a: &mut Node, name: &str, value: Option<&str>| {
        let version = value.map(|value| Version { stamp: Hlc(2), payload: Bytes::from(value.to_owned()) });
        let write = Write { key: key(name), version, context: Clock::new(), over_all_seen: true };
        let mut batch = Batch::default();
        let mut transaction = Transaction { rows: &a.memory, batch: &mut batch };
        a.partition.write(&mut transaction, write).unwrap();
        batch
    };
    let staged = ["a", "b", "d", "z"].map(|name| stage(&mut a, name, Some("staged")));
    // In storage, and not reported.
    a.memory.commit(staged[0].clone());
    assert!(!a.partition.survey(&a.memory, LIMITS).unwrap());
    let more = [stage(&mut a, "a", None), stage(&mut a, "c", None)];
    a.partition.committed(Ticket(8), 2);
    staged.into_iter().chain(more).for_each(|batch| a.memory.commit(batch));
    while !a.partition.survey(&a.memory, LIMITS).unwrap() {}
    let expected = |a: &Node| {
        let mut tree = Tree::new(Secret::new(&[0; 32]), DEPTH);
        for name in ["a", "b", "c", "d", "e", "z"] {
            let entry = a.partition.read(&a.memory, &key(name)).unwrap();
            tree.replace(&key(name), &Entry::default(), &entry);
        }
        Some(tree)
    };
    assert_eq!(a.partition.tree(), expected(&a).as_ref());
    assert_eq!(a.partition.live_keys(), Some(4));
    a.partition.committed(a.partition.ticket(), 3);
    assert_eq!(a.partition.tree(), expected(&a).as_ref());
}

#[test]
fn a_record_is_in_its_segment_until_it_has_a_row_and_is_found_throughout() {
    let mut a = Node::new(1);
    let gone = [a.put(&key("first"), "1").seen, a.put(&key("second"), "2").seen];
    let limits = PageLimits { records: 9, ..LIMITS };
    let found = |a: &Node| match a.partition.serve_log(&a.memory, &Clock::new(), limits) {
        Ok(LogAnswer::Page(page)) => page.records.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((found(&a), a.restarted().log_records()), (2, 2));
    // The first call only remembers what is durable.
    assert_eq!(a.change(|partition, transaction| partition.spill(transaction, 2)), None);
    let old = Table::Segment.row(&a.segments.newest().to_be_bytes());
    a.put(&key("third"), "3");
    let mut batch = Batch::default();
    let ticket = a.partition.spill(&mut Transaction { rows: &a.memory, batch: &mut batch }, 2);
    assert_eq!(batch.rows.len(), 2);
    // Between the change and its commit storage has no row yet.
    assert_eq!(found(&a), 3);
    a.memory.commit(batch);
    assert_eq!(found(&a), 3);
    a.partition.committed(ticket.unwrap(), 2);
    a.memory.0.retain(|row, _| row[0] != Table::Segment as u8 || row.as_ref() > old.as_ref());
    assert_eq!((found(&a), a.restarted().log_records()), (3, 3));
    let mut batch = Batch::default();
    a.partition.log.remove(&mut batch, &gone.into_iter().flat_map(|range| range.dots()).collect());
    assert_eq!((batch.rows.len(), a.partition.log_records()), (2, 1));
}
