//! Trees against the plainest model of what they stand for: a map of siblings.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::walk::{Answer, Opened, Question, WalkError};
use super::*;
use crate::codec::{Decode, Encode};
use crate::dot::{Dot, Epoch, NodeId, Origin};
use crate::entry::Version;
use crate::hlc::Hlc;

type Model = BTreeMap<Key, Entry>;

fn secret(seed: u8) -> Secret {
    Secret::new(&[seed; 32])
}

fn key(index: u16) -> Key {
    Key::new("default", &index.to_be_bytes())
}

fn dot(node: u8, counter: u8) -> Dot {
    let origin = Origin { node: NodeId(u64::from(node)), epoch: Epoch(1) };
    Dot { origin, counter: u64::from(counter) + 1 }
}

fn version(stamp: u8, payload: &'static [u8]) -> Version {
    Version { stamp: Hlc(u64::from(stamp)), payload: Bytes::from_static(payload) }
}

/// Entries from so few parts that many are equal, and many differ in one thing only.
fn entries() -> impl Strategy<Value = Entry> {
    let payload = prop::sample::select(vec![&b""[..], b"a", b"b"]);
    let sibling = (0..2_u8, 0..3_u8, 0..2_u8, payload);
    (prop::collection::vec(sibling, 0..4), any::<bool>()).prop_map(|(siblings, context)| {
        let mut entry = Entry::default();
        for (node, counter, stamp, payload) in siblings {
            entry.insert(dot(node, counter), version(stamp, payload));
        }
        if context {
            entry.context.add(dot(9, 1));
        }
        entry
    })
}

fn writes(keys: u16, count: usize) -> impl Strategy<Value = Vec<(u16, Entry)>> {
    prop::collection::vec((0..keys, entries()), 0..count)
}

fn rebuilt(secret: Secret, depth: u8, model: &Model) -> Tree {
    let mut tree = Tree::new(secret, depth);
    for (key, entry) in model.iter().rev() {
        tree.replace(key, &Entry::default(), entry);
    }
    tree
}

fn write(tree: &mut Tree, model: &mut Model, writes: Vec<(u16, Entry)>) {
    for (index, after) in writes {
        let before = model.insert(key(index), after.clone()).unwrap_or_default();
        tree.replace(&key(index), &before, &after);
    }
}

fn siblings_of(model: &Model, key: &Key) -> Vec<(Dot, Version)> {
    model.get(key).map(|entry| entry.siblings.clone()).unwrap_or_default()
}

fn differing_keys(a: &Model, b: &Model) -> BTreeSet<Key> {
    let keys: BTreeSet<&Key> = a.keys().chain(b.keys()).collect();
    keys.into_iter().filter(|key| siblings_of(a, key) != siblings_of(b, key)).cloned().collect()
}

/// What is in each leaf.
fn leaf_keys(tree: &Tree, model: &Model, leaf: u32) -> BTreeMap<Key, u128> {
    let of_leaf = model.iter().filter(|(key, entry)| tree.leaf_of(key) == leaf && !entry.siblings.is_empty());
    of_leaf.map(|(key, entry)| (key.clone(), tree.fingerprint(key, entry))).collect()
}

fn passed<T: Encode + Decode>(message: &T, bytes: &mut usize) -> T {
    let encoded = message.to_bytes();
    *bytes += encoded.len();
    T::from_bytes(encoded).unwrap()
}

/// What a walk finds, in how many rounds and bytes.
fn walk(asking: &Tree, answering: &Tree) -> (Vec<u32>, u8, usize) {
    let (mut rounds, mut bytes) = (0, 0);
    let mut question = asking.question();
    loop {
        rounds += 1;
        let answer = answering.answer(&passed(&question, &mut bytes)).unwrap();
        let settled = asking.settle(&question, &passed(&answer, &mut bytes)).unwrap();
        match settled.next {
            Some(next) => question = next,
            None => return (settled.differing, rounds, bytes),
        }
    }
}

proptest! {
    #[test]
    fn a_tree_is_the_one_rebuilt_from_what_it_was_told(writes in writes(40, 60), depth in 1..=DEPTH_MAX) {
        let (mut tree, mut model) = (Tree::new(secret(1), depth), Model::new());
        write(&mut tree, &mut model, writes);
        prop_assert_eq!(&tree, &rebuilt(secret(1), depth, &model));
        for level in 0..depth {
            for index in 0..width(level) {
                let sum = tree.children(level, index).into_iter().fold(0, u128::wrapping_add);
                prop_assert_eq!(sum, tree.node(level, index));
            }
        }
        for leaf in model.keys().map(|key| tree.leaf_of(key)) {
            let sum = leaf_keys(&tree, &model, leaf).into_values().fold(0, u128::wrapping_add);
            prop_assert_eq!(tree.leaf(leaf), sum);
        }
    }

    #[test]
    fn changes_can_be_applied_in_any_order(
        (changes, shuffled) in writes(40, 60).prop_flat_map(|writes| {
            let mut model = Model::new();
            let changes: Vec<Change> = writes.into_iter().map(|(index, after)| {
                let before = model.insert(key(index), after.clone()).unwrap_or_default();
                secret(1).change(&key(index), &before, &after)
            }).collect();
            (Just(changes.clone()), Just(changes).prop_shuffle())
        })
    ) {
        let (mut tree, mut other) = (Tree::new(secret(1), DEPTH), Tree::new(secret(1), DEPTH));
        changes.into_iter().for_each(|change| tree.apply(change));
        shuffled.into_iter().for_each(|change| other.apply(change));
        prop_assert_eq!(tree, other);
    }

    #[test]
    fn trees_are_equal_exactly_when_the_data_is(first in writes(4, 10), second in writes(4, 3)) {
        let (mut tree, mut model) = (Tree::new(secret(1), DEPTH), Model::new());
        write(&mut tree, &mut model, first);
        let (mut other_tree, mut other) = (tree.clone(), model.clone());
        write(&mut other_tree, &mut other, second);
        let same = differing_keys(&model, &other).is_empty();
        prop_assert_eq!(tree == other_tree, same);
        prop_assert_eq!(tree.root() == other_tree.root(), same);
    }

    #[test]
    fn a_walk_finds_exactly_what_differs(
        first in writes(300, 300), second in writes(300, 12), depth in 1..=DEPTH_MAX
    ) {
        let (mut tree, mut model) = (Tree::new(secret(1), depth), Model::new());
        write(&mut tree, &mut model, first);
        let (mut other_tree, mut other) = (tree.clone(), model.clone());
        write(&mut other_tree, &mut other, second);
        let keys = differing_keys(&model, &other);
        let expected: BTreeSet<u32> = keys.iter().map(|key| tree.leaf_of(key)).collect();

        let (found, rounds, bytes) = walk(&tree, &other_tree);
        prop_assert_eq!(&found, &expected.into_iter().collect::<Vec<_>>());
        prop_assert!(rounds <= depth);
        let node = FANOUT * SUM_BYTES + 32;
        prop_assert!(bytes <= 64 + keys.len() * usize::from(depth) * node, "{bytes} bytes for {keys:?}");
    }

    /// Both sides are written to between any two messages. What is said to be equal was equal at the two instants.
    #[test]
    fn leaves_are_settled_one_by_one_while_both_sides_change(
        first in writes(300, 300), rounds in prop::collection::vec((writes(300, 4), writes(300, 4)), 5)
    ) {
        let (mut tree, mut model) = (Tree::new(secret(1), DEPTH), Model::new());
        write(&mut tree, &mut model, first);
        let (mut other_tree, mut other) = (tree.clone(), model.clone());
        let mut question = tree.question();
        let mut open = Leaves::all(DEPTH);
        for (ours, theirs) in rounds {
            write(&mut other_tree, &mut other, theirs);
            let answer = other_tree.answer(&question).unwrap();
            write(&mut tree, &mut model, ours);
            let settled = tree.settle(&question, &answer).unwrap();
            let mut equal = Leaves::none(DEPTH);
            settled.equal.iter().for_each(|(level, index)| equal.insert_below(*level, *index));
            for leaf in (0..width(DEPTH)).filter(|leaf| equal.has(*leaf)) {
                prop_assert!(open.has(leaf), "settled twice");
                prop_assert_eq!(leaf_keys(&tree, &model, leaf), leaf_keys(&tree, &other, leaf));
            }
            open.remove_all(&equal);
            open.remove_all(&settled.differing.into_iter().collect());
            match settled.next {
                Some(next) => question = next,
                None => {
                    prop_assert!(open.is_empty(), "every leaf is settled");
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "no walk is that long");
    }

    #[test]
    fn what_was_written_and_deleted_leaves_nothing(writes in writes(40, 60), depth in 1..=DEPTH_MAX) {
        let (mut tree, mut model) = (Tree::new(secret(1), depth), Model::new());
        write(&mut tree, &mut model, writes);
        let deletes = (0..40).map(|index| (index, Entry::default())).collect();
        write(&mut tree, &mut model, deletes);
        prop_assert_eq!(&tree, &Tree::new(secret(1), depth));
        prop_assert!(tree.sums.iter().all(|sum| *sum == 0));
    }

    #[test]
    fn trees_of_different_secrets_never_match(writes in writes(40, 60)) {
        let (mut tree, mut model) = (Tree::new(secret(1), DEPTH), Model::new());
        write(&mut tree, &mut model, writes);
        let other = rebuilt(secret(2), DEPTH, &model);
        let empty = model.values().all(|entry| entry.siblings.is_empty());
        prop_assert_eq!(tree.root() == other.root(), empty);
    }

    #[test]
    fn any_bytes_decode_to_a_message_with_one_encoding_or_to_an_error(
        bytes: Vec<u8>, place: prop::sample::Index, byte: u8, cut: prop::sample::Index
    ) {
        let tree = rebuilt(secret(1), DEPTH, &Model::from([(key(1), one(dot(1, 1)))]));
        let answer = Tree::new(secret(1), DEPTH).answer(&tree.question()).unwrap();
        let opened = tree.answer(&Tree::new(secret(1), DEPTH).question()).unwrap();
        let leaves = Answer::Leaves(vec![3, 5]);
        let valid = [tree.question().to_bytes(), answer.to_bytes(), opened.to_bytes(), leaves.to_bytes()];
        let broken = valid.iter().map(|message| {
            let mut message = message.to_vec();
            let at = place.index(message.len());
            message[at] = byte;
            message.truncate(cut.index(message.len()) + 1);
            Bytes::from(message)
        });
        for input in valid.iter().cloned().chain(broken).chain([Bytes::from(bytes)]) {
            decodes_once::<Question>(&input);
            decodes_once::<Answer>(&input);
            decodes_once::<Leaves>(&input);
        }
    }

    #[test]
    fn a_walk_ends_whatever_the_peer_answers(
        answers in prop::collection::vec(prop::collection::btree_map(0..1_100_u32, any::<u128>(), 0..4), 4),
        kinds: [bool; 4],
    ) {
        let tree = rebuilt(secret(1), DEPTH, &Model::from([(key(1), one(dot(1, 1)))]));
        let mut question = tree.question();
        for (round, (answer, leaves)) in answers.into_iter().zip(kinds).enumerate() {
            let indices = answer.keys().copied().collect();
            let opened = answer.into_iter().map(|(index, sum)| Opened { index, children: [sum; FANOUT] });
            let answer = if leaves { Answer::Leaves(indices) } else { Answer::Opened(opened.collect()) };
            match tree.settle(&question, &answer).map(|settled| settled.next) {
                Ok(Some(next)) => question = next,
                Ok(None) | Err(_) => return Ok(()),
            }
            prop_assert!(round < usize::from(DEPTH));
        }
    }
}

/// Bytes of a sum in a message.
const SUM_BYTES: usize = walk::SUM_BYTES;

fn decodes_once<T: Encode + Decode + PartialEq + std::fmt::Debug>(input: &Bytes) {
    if let Ok(message) = T::from_bytes(input.clone()) {
        assert_eq!(T::from_bytes(message.to_bytes()), Ok(message));
    }
}

fn one(dot: Dot) -> Entry {
    Entry { siblings: vec![(dot, version(1, b"value"))], ..Entry::default() }
}

#[test]
fn every_part_of_a_version_counts_and_the_context_does_not() {
    let base = one(dot(1, 1));
    let fingerprint = |key: &Key, entry: &Entry| secret(1).fingerprint(key, entry);
    let changed = |change: &dyn Fn(&mut (Dot, Version))| {
        let mut entry = base.clone();
        change(&mut entry.siblings[0]);
        fingerprint(&key(1), &entry)
    };
    let prints = [
        fingerprint(&key(1), &base),
        fingerprint(&key(2), &base),
        changed(&|(dot, _)| dot.origin.node = NodeId(7)),
        changed(&|(dot, _)| dot.origin.epoch = Epoch(7)),
        changed(&|(dot, _)| dot.counter = 7),
        changed(&|(_, version)| version.stamp = Hlc(7)),
        changed(&|(_, version)| version.payload = Bytes::from_static(b"valu")),
        changed(&|(_, version)| version.payload = Bytes::new()),
        0,
    ];
    assert_eq!(BTreeSet::from(prints).len(), prints.len());
    let mut entry = base.clone();
    entry.context.add(dot(9, 9));
    assert_eq!(fingerprint(&key(1), &entry), prints[0]);
    entry.siblings.clear();
    assert_eq!(fingerprint(&key(1), &entry), 0);
}

/// Nodes of different versions compare trees: the numbers must not change with a library or a refactoring. These were
/// computed by another implementation of SipHash.
#[test]
fn hashes_are_the_same_for_ever() {
    let bytes: Vec<u8> = (0..32).collect();
    let tree = Tree::new(Secret::new(bytes.first_chunk().unwrap()), DEPTH);
    assert_eq!(tree.leaf_of(&key(1)), 894);
    assert_eq!(tree.fingerprint(&key(1), &one(dot(1, 1))), 0x8896_5c77_2dfe_83f8_ee30_c5d7_1a6e_49d2);
}

#[test]
fn keys_spread_over_all_leaves() {
    let tree = Tree::new(secret(1), DEPTH);
    let mut counts = vec![0_u32; tree.leaves() as usize];
    for index in 0..20_480 {
        counts[tree.leaf_of(&key(index)) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (1..60).contains(count)), "{counts:?}");
}

#[test]
fn memory_is_what_the_documentation_says() {
    let mut tree = Tree::new(secret(1), DEPTH);
    assert_eq!((tree.sums.capacity(), tree.leaves()), (0, 1_024));
    tree.replace(&key(1), &Entry::default(), &one(dot(1, 1)));
    assert_eq!(tree.sums.capacity() * 16, 16_912);
    assert_eq!(1 << FANOUT_BITS, FANOUT);
}

/// 10,000 keys, of which some differ: a kilobyte for the first, half of one for each further, and never more than
/// the whole tree.
#[test]
fn what_a_walk_costs() {
    let model: Model = (0..10_000).map(|index| (key(index), one(dot(1, 1)))).collect();
    let tree = rebuilt(secret(1), DEPTH, &model);
    for (differing, bytes_max) in [(0, 32), (1, 1_100), (10, 6_000), (10_000, 18_000)] {
        let mut other = tree.clone();
        for index in 0..differing {
            other.replace(&key(index), &one(dot(1, 1)), &one(dot(2, 1)));
        }
        let (_, rounds, bytes) = walk(&tree, &other);
        println!("{differing} of 10000 keys differ: {rounds} rounds, {bytes} bytes");
        assert!(bytes <= bytes_max, "{differing} differ: {bytes} bytes");
    }
}

#[test]
fn trees_of_different_depths_are_not_compared() {
    let (tree, deeper) = (Tree::new(secret(1), 2), Tree::new(secret(1), 3));
    assert_eq!(tree.answer(&deeper.question()), Err(WalkError::Depth { ours: 2, theirs: 3 }));
    assert_eq!((Tree::new(secret(1), 0).depth(), Tree::new(secret(1), 200).depth()), (1, DEPTH_MAX));
}

#[test]
fn answers_to_what_was_not_asked_are_refused() {
    let tree = rebuilt(secret(1), DEPTH, &Model::from([(key(1), one(dot(1, 1)))]));
    let opened = |index| Answer::Opened(vec![Opened { index, children: [1; FANOUT] }]);
    assert!(tree.settle(&tree.question(), &opened(0)).is_ok());
    for answer in [opened(1), opened(u32::MAX), Answer::Leaves(vec![0])] {
        assert_eq!(tree.settle(&tree.question(), &answer), Err(WalkError::Unasked));
    }
    let leaf = Question { depth: DEPTH, level: DEPTH, nodes: vec![(3, 1)] };
    for answer in [opened(3), Answer::Leaves(vec![4])] {
        assert_eq!(tree.settle(&leaf, &answer), Err(WalkError::Unasked));
    }
}

#[test]
fn messages_about_nodes_that_no_tree_has_are_refused() {
    let question = |depth, level, indices: &[u32]| {
        let nodes = indices.iter().map(|index| (*index, 1)).collect();
        Question::from_bytes(Question { depth, level, nodes }.to_bytes())
    };
    assert!(question(2, 1, &[0, 31]).is_ok());
    for (depth, level, indices) in
        [(2, 1, &[32][..]), (2, 1, &[1, 1]), (2, 1, &[2, 1]), (2, 3, &[0]), (DEPTH_MAX + 1, 0, &[0])]
    {
        assert!(question(depth, level, indices).is_err(), "{depth} {level} {indices:?}");
    }
    assert!(Answer::from_bytes(Answer::Leaves(vec![width(DEPTH_MAX)]).to_bytes()).is_err());
}

#[test]
fn a_secret_is_not_printed() {
    assert_eq!(format!("{:?}", secret(77)), "Secret(..)");
}
