//! The merge laws, over entries such as replicas really hold.

use proptest::prelude::*;

use super::*;
use crate::dot::{Epoch, NodeId, Origin};

fn dot(node: u8, counter: u64) -> Dot {
    Dot { origin: Origin { node: NodeId(u64::from(node)), epoch: Epoch(1) }, counter }
}

/// The version of a dot is a function of the dot: a dot is minted once.
fn version(dot: Dot) -> Version {
    Version { stamp: Hlc(dot.counter), payload: Bytes::from(dot.to_string()) }
}

/// An entry whose context covers its siblings, as the laws presuppose.
fn entries() -> impl Strategy<Value = Entry> {
    prop::collection::vec((0..3_u8, 1..6_u64, any::<bool>()), 0..12).prop_map(|dots| {
        let mut entry = Entry::default();
        for (node, counter, alive) in dots {
            let dot = dot(node, counter);
            if !entry.context.has(dot) && alive {
                entry.insert(dot, version(dot));
            }
            entry.context.add(dot);
        }
        entry
    })
}

/// The merge of two entries under their own contexts.
fn merged(a: &Entry, b: &Entry) -> Entry {
    let none = Clock::new();
    let context = |entry| Context { explicit: entry, implied: &none };
    let siblings = merge(a, context(&a.context), b, context(&b.context)).siblings;
    let mut union = a.context.clone();
    union.join(&b.context);
    Entry { siblings, context: union }
}

proptest! {
    #[test]
    fn merging_commutes(a in entries(), b in entries()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
    }

    #[test]
    fn merging_associates(a in entries(), b in entries(), c in entries()) {
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    }

    #[test]
    fn merging_twice_changes_nothing(a in entries(), b in entries()) {
        prop_assert_eq!(&merged(&a, &a), &a);
        let once = merged(&a, &b);
        prop_assert_eq!(merged(&once, &b), once);
    }

    #[test]
    fn an_entry_comes_back_from_its_bytes(a in entries()) {
        prop_assert_eq!(Entry::from_bytes(a.to_bytes()), Ok(a));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
        if let Ok(entry) = Entry::from_bytes(Bytes::from(bytes)) {
            prop_assert_eq!(Entry::from_bytes(entry.to_bytes()), Ok(entry));
        }
    }
}

#[test]
fn a_superseded_version_does_not_come_back_and_a_new_one_beside_another_is_a_conflict() {
    let one = |d: Dot, context: &[Dot]| {
        let mut entry = Entry { siblings: Vec::new(), context: context.iter().copied().collect() };
        entry.insert(d, version(d));
        entry.context.add(d);
        entry
    };
    let (first, second, beside) = (dot(0, 1), dot(0, 2), dot(1, 1));
    let newer = one(second, &[first]);
    assert_eq!(merged(&newer, &one(first, &[])), newer);
    let none = Clock::new();
    let other = one(beside, &[]);
    let outcome = merge(
        &newer,
        Context { explicit: &newer.context, implied: &none },
        &other,
        Context { explicit: &other.context, implied: &none },
    );
    assert_eq!((outcome.siblings.len(), outcome.concurrent, outcome.changed), (2, 1, true));
}
