//! Full exchanges while writes go on.

use super::*;
use crate::codec::{Decode, Encode};

/// A full exchange to its end; `between` runs after each page was served and before it is taken. Returns the bytes of
/// all messages.
pub(super) fn exchange(
    to: &mut Node,
    from: &mut Node,
    between: impl FnMut(&FullStep, &mut Node, &mut Node),
) -> usize {
    exchange_by(LIMITS, to, from, between)
}

fn exchange_by(
    limits: PageLimits,
    to: &mut Node,
    from: &mut Node,
    mut between: impl FnMut(&FullStep, &mut Node, &mut Node),
) -> usize {
    let mut request = to.partition.open_full(&to.memory, limits).unwrap();
    let mut bytes = 0;
    loop {
        let encoded = request.to_bytes();
        bytes += encoded.len();
        let asked = FullRequest::from_bytes(encoded).unwrap();
        let encoded = from.partition.serve_full(&from.memory, &asked, limits).unwrap().to_bytes();
        bytes += encoded.len();
        between(&asked.step, to, from);
        let page = FullPage::from_bytes(encoded).unwrap();
        let (_, progress) =
            to.change(|partition, transaction| partition.take_full(transaction, &page, limits)).unwrap();
        match progress {
            Progress::Next(next) => request = next,
            Progress::Done => return bytes,
            Progress::Aborted | Progress::Stray => panic!("nothing restarted, and nothing came late"),
        }
    }
}

/// A write of a bucket that keeps siblings.
pub(super) fn put(node: &mut Node, name: &str, value: Option<&str>, context: &[&Delta]) -> Delta {
    let version = value.map(|value| Version { stamp: Hlc(1), payload: Bytes::from(value.to_owned()) });
    let context = context.iter().flat_map(|delta| delta.seen.dots()).collect();
    let write = Write { key: key(name), version, context, over_all_seen: false };
    node.change(|partition, transaction| partition.write(transaction, write)).unwrap().delta
}

pub(super) fn apply(node: &mut Node, delta: &Delta) {
    node.change(|partition, transaction| partition.apply(transaction, delta)).unwrap();
}

pub(super) fn surveyed(node: &mut Node) {
    while !node.partition.survey(&node.memory, LIMITS).unwrap() {}
}

/// A sender and a receiver with `count` keys, the same on both, and hash trees.
pub(super) fn same(count: usize) -> (Node, Node) {
    let (mut s, mut r) = (Node::new(1), Node::new(2));
    surveyed(&mut s);
    surveyed(&mut r);
    for index in 0..count {
        let delta = put(&mut s, &format!("same{index}"), Some("v"), &[]);
        apply(&mut r, &delta);
    }
    (s, r)
}

#[test]
fn only_what_differs_is_sent() {
    let (mut s, mut r) = same(300);
    let gone = put(&mut s, "gone", Some("v"), &[]);
    apply(&mut r, &gone);
    put(&mut s, "gone", None, &[&gone]);
    for name in ["new", "newer"] {
        put(&mut s, name, Some(&"value".repeat(20)), &[]);
    }
    put(&mut r, "own", Some("v"), &[]);
    let limits = PageLimits { records: 512, bytes: 1 << 18 };
    let bytes = exchange_by(limits, &mut r, &mut s, |_, _, _| {});
    assert!(bytes < 4_500, "{bytes} bytes");
    assert_eq!(r.values(&key("new")).len(), 1);
    assert_eq!((r.values(&key("gone")).len(), r.values(&key("own")).len()), (0, 1));
    assert!(r.partition.durable().covers(s.partition.durable()) && !r.partition.is_pulling());
    exchange_by(limits, &mut s, &mut r, |_, _, _| {});
    assert_eq!(s.partition.tree(), r.partition.tree());
    // With nothing to do it is one question.
    assert!(exchange(&mut s, &mut r, |_, _, _| {}) < 200);
}

#[test]
fn replicas_without_trees_compare_key_by_key() {
    for (sender, receiver) in [(false, false), (false, true), (true, false)] {
        let (mut s, mut r) = (Node::new(1), Node::new(2));
        for (node, survey) in [(&mut s, sender), (&mut r, receiver)] {
            if survey {
                surveyed(node);
            }
        }
        for index in 0..20 {
            let delta = put(&mut s, &format!("k{index}"), Some("v"), &[]);
            if index % 3 > 0 {
                apply(&mut r, &delta);
            }
        }
        exchange(&mut r, &mut s, |_, _, _| {});
        assert!((0..20).all(|index| r.values(&key(&format!("k{index}"))).len() == 1));
    }
}

#[test]
fn trees_of_different_secrets_are_not_compared() {
    let (mut s, mut r) = same(20);
    s.partition.set_secret(Secret::new(&[1; 32]));
    surveyed(&mut s);
    put(&mut s, "new", Some("v"), &[]);
    exchange(&mut r, &mut s, |_, _, _| {});
    assert_eq!((r.values(&key("new")).len(), r.values(&key("same7")).len()), (1, 1));
}

/// The sender knows a delete and not what it deleted, which arrives there in the middle of the exchange, and at the
/// receiver after it.
#[test]
fn an_explicit_context_that_the_sender_drops_meanwhile_is_not_lost() {
    for trees in [true, false] {
        let (mut s, mut r) = if trees { same(9) } else { (Node::new(1), Node::new(2)) };
        let mut t = Node::new(3);
        for name in ["a", "b", "c", "d"] {
            put(&mut s, name, Some("v"), &[]);
        }
        let secret = put(&mut t, "k", Some("secret"), &[]);
        let delete = put(&mut t, "k", None, &[&secret]);
        apply(&mut s, &delete);
        let mut pages = 0;
        exchange(&mut r, &mut s, |_, _, s| {
            pages += 1;
            if pages == 1 {
                apply(s, &secret);
            }
        });
        apply(&mut r, &secret);
        assert_eq!((s.values(&key("k")).len(), r.values(&key("k")).len()), (0, 0));
        assert!(r.partition.durable().covers(s.partition.durable()));
    }
}

/// The same, if the receiver gets the deleted value while the exchange goes on, before or after the sender does.
#[test]
fn what_arrives_at_an_equal_leaf_meanwhile_is_judged_by_what_the_sender_knew() {
    for sender_first in [true, false] {
        for at in 0..3 {
            let (mut s, mut r) = same(9);
            let mut t = Node::new(3);
            let secret = put(&mut t, "k", Some("secret"), &[]);
            let delete = put(&mut t, "k", None, &[&secret]);
            apply(&mut s, &delete);
            put(&mut s, "new", Some("v"), &[]);
            let mut step = 0;
            exchange(&mut r, &mut s, |_, r, s| {
                if step == at {
                    apply(if sender_first { s } else { r }, &secret);
                }
                if step == at + 1 {
                    apply(if sender_first { r } else { s }, &secret);
                }
                step += 1;
            });
            apply(&mut r, &secret);
            apply(&mut s, &secret);
            let shown = (s.values(&key("k")).len(), r.values(&key("k")).len());
            assert_eq!(shown, (0, 0), "sender first: {sender_first}, step {at}");
            assert_eq!(s.partition.durable(), r.partition.durable());
        }
    }
}

/// A key that both lack after it was deleted at the sender in the middle of the exchange: the receiver's clock must not
/// cover the value without the delete, or to a third replica its absence would look like damage.
#[test]
fn a_delete_known_by_its_effect_is_known_by_name_in_the_end() {
    let (mut s, mut r) = same(9);
    for name in ["a", "b", "c", "d", "e", "f"] {
        put(&mut s, name, Some("v"), &[]);
    }
    let value = put(&mut s, "z", Some("v"), &[]);
    let mut deleted = None;
    exchange(&mut r, &mut s, |step, _, s| {
        if matches!(step, FullStep::Compare { .. }) && deleted.is_none() {
            deleted = Some(put(s, "z", None, &[&value]));
        }
    });
    let clock = r.partition.durable();
    let delete = deleted.unwrap().seen.dots().next().unwrap();
    assert!(value.seen.dots().all(|dot| clock.has(dot)) && clock.has(delete));
    assert_eq!((r.values(&key("z")).len(), r.partition.tree()), (0, s.partition.tree()));
}

/// The listed page says nothing about a key that changed after it was named.
#[test]
fn a_key_that_changes_while_its_page_is_under_way_is_fetched() {
    let (mut s, mut r) = same(0);
    let mut t = Node::new(3);
    let value = put(&mut t, "k", Some("value"), &[]);
    let delete = put(&mut t, "k", None, &[&value]);
    apply(&mut s, &value);
    apply(&mut s, &delete);
    put(&mut s, "other", Some("v"), &[]);
    // Makes the key's leaf differ and the key not: another key is in the same leaf.
    let secret = Secret::new(&[0; 32]);
    let leaf = secret.leaf(&key("k"), DEPTH);
    let neighbour =
        (0..).map(|index| format!("n{index}")).find(|name| secret.leaf(&key(name), DEPTH) == leaf);
    put(&mut s, &neighbour.unwrap(), Some("v"), &[]);
    let mut fetched = false;
    exchange(&mut r, &mut s, |step, r, _| match step {
        FullStep::List(_) => apply(r, &value),
        FullStep::Keys(keys) => fetched |= keys.contains(&key("k")),
        _ => {}
    });
    assert!(fetched && r.values(&key("k")).is_empty());
    assert_eq!(r.partition.tree(), s.partition.tree());
}

#[test]
fn an_answer_to_another_request_is_ignored_and_one_of_a_new_life_ends_the_exchange() {
    let (mut s, mut r) = same(3);
    put(&mut s, "new", Some("v"), &[]);
    let old = r.partition.open_full(&r.memory, LIMITS).unwrap();
    let late = s.partition.serve_full(&s.memory, &old, LIMITS).unwrap();
    let request = r.partition.open_full(&r.memory, LIMITS).unwrap();
    let take = |r: &mut Node, page: &FullPage| {
        r.change(|partition, transaction| partition.take_full(transaction, page, LIMITS)).unwrap().1
    };
    assert_eq!((take(&mut r, &late), r.partition.is_pulling()), (Progress::Stray, true));
    let page = s.partition.serve_full(&s.memory, &request, LIMITS).unwrap();
    let Progress::Next(next) = take(&mut r, &page) else { panic!("leaves differ") };
    assert_eq!(take(&mut r, &page), Progress::Stray, "a duplicate");
    let mut page = s.partition.serve_full(&s.memory, &next, LIMITS).unwrap();
    page.source.epoch = Epoch(9);
    assert_eq!((take(&mut r, &page), r.partition.is_pulling()), (Progress::Aborted, false));
    assert!(!r.partition.durable().covers(s.partition.durable()));
}

/// What is staged must be queued: an error after that would leave dots that the next commit takes for durable.
#[test]
fn an_exchange_that_cannot_read_a_row_stages_nothing() {
    let (mut s, mut r) = (Node::new(1), Node::new(2));
    for name in ["a", "b", "c"] {
        put(&mut s, name, Some("v"), &[]);
    }
    let damaged = Table::Entry.key_row(PartitionId(0), &key("z"));
    let request = r.partition.open_full(&r.memory, LIMITS).unwrap();
    let page = s.partition.serve_full(&s.memory, &request, LIMITS).unwrap();
    r.memory.0.insert(damaged.clone(), Bytes::from_static(b"rot"));
    let mut batch = Batch::default();
    let mut transaction = Transaction { rows: &r.memory, batch: &mut batch };
    assert!(r.partition.take_full(&mut transaction, &page, LIMITS).is_err());
    assert!(batch.is_empty() && !r.partition.is_pulling());
    assert_eq!(r.partition.ticket(), Ticket(0));
    // The dots that were on the page are not taken for durable with whatever comes next.
    put(&mut r, "own", Some("v"), &[]);
    assert_eq!(r.partition.durable().count(), 1);
    r.memory.0.remove(&damaged);
    exchange(&mut r, &mut s, |_, _, _| {});
    assert!(["a", "b", "c"].iter().all(|name| r.values(&key(name)).len() == 1));
}
