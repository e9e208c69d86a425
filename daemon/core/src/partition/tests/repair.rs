//! A repair brings what a replica lacks of one key, and claims nothing else.

use super::*;
use crate::reading::Reading;

/// A read at `own` and `other`; whoever lacks something is repaired. Returns whether anybody did.
fn read(own: &mut Node, other: &mut Node, key: &Key) -> bool {
    let mut reading = Reading::new(own.partition.held(&own.memory, key).unwrap());
    reading.add((), other.partition.compare(&other.memory, key, &reading.have()).unwrap());
    let settled = reading.settle(|dots| own.partition.may_concern(dots, key));
    let repair = settled.repair(key.clone());
    let mut repaired = false;
    for (node, lacks) in [(own, settled.own_lacks), (other, !settled.lacking.is_empty())] {
        if lacks {
            let (_, changed) =
                node.change(|partition, transaction| partition.repair(transaction, &repair)).unwrap();
            assert!(changed);
            repaired = true;
        }
    }
    repaired
}

#[test]
fn a_missed_write_is_repaired_once_and_logged() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    a.put(&key("other"), "not read");
    let dot = a.put(&k, "value").seen.dots().next().unwrap();
    assert!(read(&mut b, &mut a, &k));
    assert_eq!(b.values(&k), [Bytes::from("value")]);
    let seen: Vec<Dot> = b.partition.durable().ranges().flat_map(DotRange::dots).collect();
    assert_eq!(seen, [dot], "what came with other keys is not seen");
    assert!(b.partition.logged().has(dot), "others may lack it");
    assert!(!read(&mut b, &mut a, &k) && !read(&mut a, &mut b, &k));
    // What was not read comes by the ordinary exchange.
    b.pull_all(&mut a);
    assert_eq!(b.values(&key("other")), [Bytes::from("not read")]);
    b.change(|partition, transaction| partition.sweep(transaction, 10)).unwrap();
    assert_eq!(b.partition.residue(), 0);
}

#[test]
fn a_missed_delete_is_repaired_from_either_side() {
    for by_the_deleter in [false, true] {
        let (mut a, mut b) = (Node::new(1), Node::new(2));
        let k = key("k");
        let put = a.put(&k, "value");
        b.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
        let delete = a.write(&k, None);
        let (first, second) = if by_the_deleter { (&mut a, &mut b) } else { (&mut b, &mut a) };
        assert!(read(first, second, &k) && !read(first, second, &k));
        assert!(b.values(&k).is_empty());
        assert!(!b.partition.durable().has(delete.seen.dots().next().unwrap()), "it is known, not seen");
    }
}

#[test]
fn a_late_delta_of_what_a_repaired_write_superseded_shows_nothing() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let old = a.put(&k, "old");
    a.put(&k, "new");
    assert!(read(&mut b, &mut a, &k));
    b.change(|partition, transaction| partition.apply(transaction, &old)).unwrap();
    assert_eq!(b.values(&k), [Bytes::from("new")]);
}

#[test]
fn nobody_who_shows_nothing_learns_less_of_a_delete() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let put = a.put(&k, "value");
    a.write(&k, None);
    assert!(read(&mut a, &mut b, &k), "both show nothing, but one has seen more");
    b.change(|partition, transaction| partition.apply(transaction, &put)).unwrap();
    assert!(b.values(&k).is_empty());
}

#[test]
fn a_sibling_that_the_sender_has_not_seen_is_kept() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    a.put(&k, "of a");
    let repair = {
        let reading = Reading::<()>::new(a.partition.held(&a.memory, &k).unwrap());
        reading.settle(|_| false).repair(k.clone())
    };
    b.put(&k, "of b");
    let (applied, changed) =
        b.change(|partition, transaction| partition.repair(transaction, &repair)).unwrap();
    assert_eq!((applied.fresh, applied.concurrent, changed), (1, 1, true));
    assert_eq!(b.values(&k), [Bytes::from("of a"), Bytes::from("of b")]);
}

#[test]
fn what_is_pending_is_not_repaired_again() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let put = a.put(&k, "value");
    let repair = {
        let reading = Reading::<()>::new(a.partition.held(&a.memory, &k).unwrap());
        reading.settle(|_| false).repair(k.clone())
    };
    let mut batch = Batch::default();
    let mut transaction = Transaction { rows: &b.memory, batch: &mut batch };
    let delta = b.partition.apply(&mut transaction, &put).unwrap();
    let (applied, changed) = b.partition.repair(&mut transaction, &repair).unwrap();
    assert_eq!((changed, applied.ticket), (false, delta.ticket), "durable when the delta is");
}

#[test]
fn what_only_a_full_exchange_in_progress_knows_is_not_held_yet() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let deleted = key("a");
    a.put(&deleted, "value");
    a.write(&deleted, None);
    for name in ["b", "c", "d", "e"] {
        a.put(&key(name), "value");
    }
    let request = b.partition.open_full(&b.memory, LIMITS).unwrap();
    let page = a.partition.serve_full(&a.memory, &request, LIMITS).unwrap();
    b.change(|partition, transaction| partition.take_full(transaction, &page, LIMITS)).unwrap();
    let held = a.partition.held(&a.memory, &deleted).unwrap();
    let repair = Reading::<()>::new(held).settle(|_| false).repair(deleted);
    let (_, changed) = b.change(|partition, transaction| partition.repair(transaction, &repair)).unwrap();
    assert!(changed, "after a restart nothing of the exchange would be left");
    assert!(b.restarted().residue() > 0);
}
