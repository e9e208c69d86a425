//! What a coordinator is told before it writes.

use super::*;

fn collected(node: &Node, key: &Key, asker: &Node) -> Clock {
    node.partition.collect(&node.memory, key, asker.partition.seen()).unwrap().dots
}

#[test]
fn what_the_asker_has_not_seen_is_told_with_the_highest_stamp() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    assert_eq!(b.partition.collect(&b.memory, &k, a.partition.seen()).unwrap(), Collected::default());
    let old = b.put(&k, "old");
    let told = b.partition.collect(&b.memory, &k, a.partition.seen()).unwrap();
    assert_eq!(told, Collected { dots: old.seen.dots().collect(), stamp: Hlc(1) });
    a.change(|partition, transaction| partition.apply(transaction, &old)).unwrap();
    assert!(collected(&b, &k, &a).is_empty());
}

/// A delete at `b` hides what `b` alone could tell the coordinator of: `c` would go on showing it.
#[test]
fn what_is_superseded_at_the_replica_that_is_asked_is_told_too() {
    let (mut a, mut b, mut c) = (Node::new(1), Node::new(2), Node::new(3));
    let k = key("k");
    let old = c.put(&k, "old");
    b.change(|partition, transaction| partition.apply(transaction, &old)).unwrap();
    let delete = b.write(&k, None);
    let context = collected(&b, &k, &a);
    assert!(old.seen.dots().chain(delete.seen.dots()).all(|dot| context.has(dot)));
    assert_eq!(context.count(), 2);
    let version = Some(Version { stamp: Hlc(1), payload: Bytes::from_static(b"new") });
    let write = Write { key: k.clone(), version, context, over_all_seen: true };
    a.change(|partition, transaction| partition.write(transaction, write)).unwrap();
    a.pull_all(&mut c);
    assert_eq!(a.values(&k), [Bytes::from("new")]);
}

#[test]
fn what_was_written_to_other_keys_is_not_told() {
    let (a, mut b) = (Node::new(1), Node::new(2));
    let (j, k) = (key("j"), key("k"));
    b.put(&j, "other");
    assert!(collected(&b, &k, &a).is_empty());
    // Whose key nobody can name any more may have been any.
    let gone = b.partition.logged().clone();
    let mut batch = Batch::default();
    b.partition.log.remove(&mut batch, &gone);
    assert_eq!(collected(&b, &k, &a), gone);
}

#[test]
fn what_is_not_durable_is_not_told() {
    let (a, mut b) = (Node::new(1), Node::new(2));
    let k = key("k");
    let mut batch = Batch::default();
    let version = Some(Version { stamp: Hlc(1), payload: Bytes::from_static(b"v") });
    let write = Write { key: k.clone(), version, context: Clock::new(), over_all_seen: true };
    b.partition.write(&mut Transaction { rows: &b.memory, batch: &mut batch }, write).unwrap();
    assert!(collected(&b, &k, &a).is_empty());
}
