//! Verification finds what is contradictory, and only that; what it finds is written anew.

use super::full::{apply, put, same, surveyed};
use super::*;
use crate::codec::{Decode, Encode};

/// A verification to its end; `between` runs before each answer is taken, with whether some time has passed.
fn verify(
    asks: &mut Node,
    answers: &mut Node,
    insist: bool,
    mut between: impl FnMut(bool, &mut Node, &mut Node),
) -> Verdict {
    let (mut verification, mut request) = Verification::begin(&mut asks.partition, insist).unwrap();
    let mut later = false;
    loop {
        let request_again = FullRequest::from_bytes(request.to_bytes()).unwrap();
        let page = answers.partition.serve_full(&answers.memory, &request_again, LIMITS).unwrap();
        between(later, asks, answers);
        let page = FullPage::from_bytes(page.to_bytes()).unwrap();
        match verification.take(&mut asks.partition, &asks.memory, &page, LIMITS).unwrap() {
            Verdict::Ask(next) => request = next,
            Verdict::AskLater(next) => (request, later) = (next, true),
            verdict => return verdict,
        }
    }
}

/// The two sides, the one that asks first.
fn asking<'a>(asks: usize, a: &'a mut Node, b: &'a mut Node) -> [&'a mut Node; 2] {
    if asks == 0 { [a, b] } else { [b, a] }
}

/// The row of a key changes by itself, and the node starts anew on it.
fn rot(node: &mut Node, name: &str, entry: Option<Entry>) {
    let row = Table::Entry.key_row(PartitionId(0), &key(name));
    match entry {
        Some(entry) => node.memory.0.insert(row, entry.to_bytes()),
        None => node.memory.0.remove(&row),
    };
    let origin = Origin { epoch: Epoch(9), ..node.partition.origin() };
    let (_, mut records) = Segments::recover(&node.memory).unwrap();
    let logged = records.remove(&PartitionId(0)).unwrap_or_default();
    node.partition = Partition::open(PartitionId(0), origin, &node.memory, logged).unwrap();
    surveyed(node);
}

fn settle(node: &mut Node, verdict: Verdict) -> Vec<Delta> {
    let Verdict::Contradicted(found) = verdict else { panic!("{verdict:?}") };
    let settle = |contradiction: &Contradiction| {
        let written =
            node.change(|partition, transaction| partition.settle(transaction, contradiction)).unwrap();
        written.into_iter().map(|written| written.delta)
    };
    found.iter().flat_map(settle).collect()
}

#[test]
fn equal_replicas_are_equal_by_one_question_and_different_clocks_are_no_contradiction() {
    let (mut a, mut b) = same(20);
    assert_eq!(verify(&mut a, &mut b, false, |_, _, _| {}), Verdict::Equal);
    let new = put(&mut b, "new", Some("v"), &[]);
    assert_eq!(verify(&mut a, &mut b, false, |_, _, _| {}), Verdict::Behind);
    assert_eq!(verify(&mut a, &mut b, true, |_, _, _| {}), Verdict::Equal);
    put(&mut b, "new", None, &[&new]);
    put(&mut a, "own", Some("v"), &[]);
    assert_eq!(verify(&mut b, &mut a, true, |_, _, _| {}), Verdict::Equal);
}

#[test]
fn what_one_side_has_lost_is_written_anew_and_both_agree_again() {
    for asks in [0, 1] {
        let (mut a, mut b) = same(20);
        let keep = put(&mut a, "keep", Some("kept"), &[]);
        apply(&mut b, &keep);
        rot(&mut b, "keep", None);
        let [x, y] = asking(asks, &mut a, &mut b);
        let verdict = verify(x, y, false, |_, _, _| {});
        for delta in settle(x, verdict) {
            apply(y, &delta);
        }
        for node in [&a, &b] {
            assert_eq!(node.values(&key("keep")), [Bytes::from("kept")]);
        }
        // The old name of the value is superseded everywhere.
        apply(&mut a, &keep);
        assert_eq!(verify(&mut a, &mut b, false, |_, _, _| {}), Verdict::Equal);
    }
}

#[test]
fn what_differs_under_one_dot_is_kept_in_both_forms() {
    let (mut a, mut b) = same(20);
    let one = put(&mut a, "k", Some("one"), &[]);
    apply(&mut b, &one);
    let mut entry = b.partition.read(&b.memory, &key("k")).unwrap();
    entry.siblings[0].1.payload = Bytes::from("0ne");
    rot(&mut b, "k", Some(entry));
    let verdict = verify(&mut a, &mut b, false, |_, _, _| {});
    for delta in settle(&mut a, verdict) {
        apply(&mut b, &delta);
    }
    let mut values = b.values(&key("k"));
    values.sort();
    assert_eq!(values, [Bytes::from("0ne"), Bytes::from("one")]);
    assert_eq!(verify(&mut b, &mut a, false, |_, _, _| {}), Verdict::Equal);
}

/// One side has seen a delete that is still on its way to the other: no contradiction, now or later.
#[test]
fn a_write_on_its_way_is_waited_for() {
    for asks in [0, 1] {
        let (mut a, mut b) = same(20);
        let value = put(&mut a, "k", Some("v"), &[]);
        apply(&mut b, &value);
        let delete = put(&mut a, "k", None, &[&value]);
        let [x, y] = asking(asks, &mut a, &mut b);
        let mut waited = false;
        let verdict = verify(x, y, true, |later, x, y| {
            if later {
                waited = true;
                apply(if asks == 0 { y } else { x }, &delete);
            }
        });
        assert_eq!((verdict, waited), (Verdict::Equal, true));
    }
}

/// Clocks are never equal at one instant, for both sides keep writing; what is lost is found all the same.
#[test]
fn a_loss_is_found_while_writes_go_on() {
    for asks in [0, 1] {
        let (mut a, mut b) = same(20);
        let keep = put(&mut a, "keep", Some("kept"), &[]);
        apply(&mut b, &keep);
        rot(&mut b, "keep", None);
        let [x, y] = asking(asks, &mut a, &mut b);
        let mut flying: Vec<Delta> = Vec::new();
        let mut count = 0;
        let verdict = verify(x, y, true, |_, x, y| {
            for delta in flying.drain(..) {
                apply(x, &delta);
                apply(y, &delta);
            }
            count += 1;
            flying.push(put(x, &format!("x{count}"), Some("v"), &[]));
            flying.push(put(y, &format!("y{count}"), Some("v"), &[]));
        });
        assert!(matches!(verdict, Verdict::Contradicted(found) if found.len() == 1), "asks: {asks}");
    }
}

#[test]
fn a_contradiction_that_is_settled_meanwhile_is_left_alone() {
    let (mut a, mut b) = same(20);
    let keep = put(&mut a, "keep", Some("kept"), &[]);
    apply(&mut b, &keep);
    rot(&mut b, "keep", None);
    let verdict = verify(&mut a, &mut b, false, |_, _, _| {});
    put(&mut a, "keep", Some("newer"), &[&keep]);
    assert_eq!(settle(&mut a, verdict).len(), 0);
}

#[test]
fn trees_of_different_secrets_are_told_apart() {
    let (mut a, mut b) = same(3);
    b.partition.set_secret(Secret::new(&[1; 32]));
    let verdict = |a: &mut Node, b: &mut Node| verify(a, b, false, |_, _, _| {});
    assert_eq!(verdict(&mut a, &mut b), Verdict::Incomparable(Incomparable::Secret));
    b.partition.set_secret(Secret::new(&[0; 32]));
    assert_eq!(verdict(&mut a, &mut b), Verdict::Incomparable(Incomparable::Unbuilt));
    assert!(Verification::begin(&mut b.partition, false).is_none());
}

/// A row changes under a running node, whose hash tree follows changes only.
#[test]
fn a_scrub_finds_rows_that_changed_by_themselves_and_not_those_that_were_written() {
    let (mut a, mut b) = same(20);
    let scrubbed = |node: &mut Node| loop {
        match node.partition.scrub(&node.memory, LIMITS).unwrap() {
            Scrubbed::Partly => {}
            done => return done,
        }
    };
    assert_eq!(scrubbed(&mut a), Scrubbed::Sound);
    // Before and behind where the scrub is, durable and pending.
    for round in 0..12 {
        assert_eq!(a.partition.scrub(&a.memory, LIMITS).unwrap(), Scrubbed::Partly);
        for name in [format!("same{round}"), format!("a{round}"), format!("z{round}")] {
            put(&mut a, &name, Some("new"), &[]);
        }
    }
    assert_eq!(scrubbed(&mut a), Scrubbed::Sound);
    // In memory of the node, so that the cache knows it.
    b.values(&key("same7"));
    b.memory.0.remove(&Table::Entry.key_row(PartitionId(0), &key("same7")));
    let before = b.partition.tree().cloned();
    assert_eq!(scrubbed(&mut b), Scrubbed::Rotten(1));
    assert_eq!(b.partition.scrub(&b.memory, LIMITS).unwrap(), Scrubbed::Partly, "not before the survey");
    surveyed(&mut b);
    assert_ne!(b.partition.tree().cloned(), before);
    assert!(b.values(&key("same7")).is_empty());
}

/// A client's context may name a write without what that write superseded. A replica that has only the context does not
/// contradict one that has the write.
#[test]
fn a_context_that_names_a_write_does_not_tell_what_the_write_superseded() {
    let (mut a, mut c) = same(20);
    let old = put(&mut a, "k", Some("old"), &[]);
    apply(&mut c, &old);
    let delete = put(&mut a, "k", None, &[&old]);
    let new = put(&mut c, "k", Some("new"), &[&delete]);
    apply(&mut a, &new);
    assert_eq!(verify(&mut a, &mut c, true, |_, _, _| {}), Verdict::Behind);
    assert_eq!(verify(&mut c, &mut a, true, |_, _, _| {}), Verdict::Behind);
    apply(&mut c, &delete);
    assert_eq!(verify(&mut a, &mut c, false, |_, _, _| {}), Verdict::Equal);
}
