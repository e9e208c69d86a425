//! What deltas find beside them, and how writes are restated over that.

use super::*;

/// What applying `delta` finds at `node`.
fn found(node: &mut Node, delta: &Delta) -> Beside {
    node.change(|partition, transaction| partition.apply(transaction, delta)).unwrap().beside
}

#[test]
fn a_delta_reports_what_stands_beside_it_and_is_restated_over_that() {
    let (mut a, mut b, mut c) = (Node::new(1), Node::new(2), Node::new(3));
    let k = key("k");
    let old = b.put(&k, "old");
    let new = a.put(&k, "new");
    assert_eq!(found(&mut c, &new), Beside::Nothing);
    assert_eq!(found(&mut b, &new), Beside::Versions(old.seen.dots().collect()));
    // Once more, by another way: the write still stands, so nothing was written in its knowledge.
    assert_eq!(found(&mut b, &new), Beside::Versions(old.seen.dots().collect()));
    let beside: Clock = old.seen.dots().collect();
    let again =
        a.change(|partition, transaction| partition.restate(transaction, new, &beside)).unwrap().delta;
    for node in [&mut b, &mut c] {
        assert_eq!(found(node, &again), Beside::Nothing);
        assert_eq!(node.values(&k), [Bytes::from("new")]);
    }
}

#[test]
fn what_was_written_in_knowledge_of_a_write_is_not_reported_as_older() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let first = a.put(&k, "first");
    assert_eq!(found(&mut b, &first), Beside::Nothing);
    b.put(&k, "second");
    assert_eq!(found(&mut b, &first), Beside::Unknown);
    let mut c = Node::new(3);
    let second = b.put(&k, "third");
    assert_eq!(found(&mut c, &second), Beside::Nothing);
    // The context of the later write is all that is known of the first one here.
    assert_eq!(found(&mut c, &first), Beside::Unknown);
}

#[test]
fn a_delete_reports_what_it_does_not_delete() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let put = b.put(&k, "kept");
    let delete = a.write(&k, None);
    assert_eq!(found(&mut b, &delete), Beside::Versions(put.seen.dots().collect()));
    assert_eq!(found(&mut b, &delete), Beside::Unknown);
}

#[test]
fn a_write_is_restated_until_all_that_was_there_before_it_is_known() {
    let versions =
        Beside::Versions([Dot { origin: Node::new(9).partition.origin(), counter: 1 }].into_iter().collect());
    let found = |all: &[&Beside]| {
        let mut found = Found::default();
        all.iter().for_each(|beside| found.add(beside));
        found
    };
    let mut known = Overwriting::default();
    assert!(known.next(found(&[&versions, &Beside::Nothing])).is_some());
    assert_eq!(known.next(found(&[&versions])), None);
    let mut unknown = Overwriting::default();
    assert!(unknown.next(found(&[&Beside::Unknown])).is_some_and(|dots| dots.is_empty()));
    assert!(unknown.next(found(&[&versions])).is_some());
    assert_eq!(unknown.next(found(&[&versions])), None);
    assert_eq!(Overwriting::default().next(Found::default()), None);
}

/// A delete at `b` hides what `b` alone could tell the coordinator of: `c` would go on showing it.
#[test]
fn what_is_superseded_where_a_write_arrives_is_found_too() {
    let (mut a, mut b, mut c) = (Node::new(1), Node::new(2), Node::new(3));
    let k = key("k");
    let old = c.put(&k, "old");
    assert_eq!(found(&mut b, &old), Beside::Nothing);
    let delete = b.write(&k, None);
    let new = a.put(&k, "new");
    let Beside::Versions(dots) = found(&mut b, &new) else { panic!("the delete is not found") };
    assert!(old.seen.dots().chain(delete.seen.dots()).all(|dot| dots.has(dot)));
    assert_eq!(dots.count(), 2);
    a.change(|partition, transaction| partition.restate(transaction, new, &dots)).unwrap();
    a.pull_all(&c);
    assert_eq!(a.values(&k), [Bytes::from("new")]);
}

#[test]
fn what_was_written_to_other_keys_is_not_found() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let (j, k) = (key("j"), key("k"));
    b.put(&j, "other");
    let new = a.put(&k, "new");
    assert_eq!(found(&mut b, &new), Beside::Nothing);
    // Whose key nobody can name any more may have been any.
    let gone: Clock = b.partition.logged().minus(&new.entry.context);
    let mut batch = Batch::default();
    b.partition.log.remove(&mut batch, &gone);
    assert_eq!(found(&mut b, &new), Beside::Versions(gone));
}

/// A page brings the write, a delete here takes it and what was beside it away, then the delta arrives.
#[test]
fn a_write_that_was_deleted_before_its_delta_arrived_must_ask_again() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    b.put(&k, "old");
    let new = a.put(&k, "new");
    b.pull_all(&a);
    b.write(&k, None);
    assert_eq!(found(&mut b, &new), Beside::Unknown);
}
