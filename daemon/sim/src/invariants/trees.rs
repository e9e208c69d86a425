//! Merkle trees agree exactly when the data does: a replica's tree is that of what can be read there, at every instant,
//! so two replicas with the same tree show the same, and two that show the same have the same tree. And the data agrees
//! when the clocks do, as long as no entry has an explicit context: else a difference at rest would be no alarm.

use std::collections::BTreeMap;

use settle_core::merkle::Tree;
use settle_core::partition::Partition;
use settle_core::storage::Rows;

use crate::broken::Broken;
use crate::oracle::History;
use crate::view::View;

/// Checks the tree of one replica, if it is complete, against what can be read.
///
/// # Errors
/// [`Broken`] when it stands for something else.
pub fn check<'a>(
    partition: &Partition,
    rows: &dyn Rows,
    keys: impl Iterator<Item = &'a History>,
    place: usize,
) -> Result<(), Broken> {
    let Some(tree) = partition.tree() else { return Ok(()) };
    let mut leaves: BTreeMap<u32, u128> = BTreeMap::new();
    for history in keys {
        let entry = partition.read(rows, &history.key)?;
        let sum = leaves.entry(tree.leaf_of(&history.key)).or_default();
        *sum = sum.wrapping_add(tree.fingerprint(&history.key, &entry));
    }
    let root = leaves.values().fold(0_u128, |root, sum| root.wrapping_add(*sum));
    if tree.root() == root && leaves.iter().all(|(leaf, sum)| tree.leaf(*leaf) == *sum) {
        return Ok(());
    }
    Err(Broken::new("trees", format!("node {place}: the hash tree is not that of what can be read")))
}

/// Checks two replicas of a partition by what can be read there, and their trees, if both are complete.
///
/// # Errors
/// [`Broken`] when the trees say otherwise, or what they show differs although the clocks do not.
pub fn check_pair(trees: [Option<&Tree>; 2], views: [&View; 2], places: [usize; 2]) -> Result<(), Broken> {
    let [a, b] = views;
    let same = a.shows_same(b);
    if !same && a.clock == b.clock && a.is_plain() && b.is_plain() {
        let text = format!("nodes {places:?} have seen the same and show different values");
        return Err(Broken::new("trees", text));
    }
    let [Some(one), Some(other)] = trees else { return Ok(()) };
    if (one.root() == other.root()) == same {
        return Ok(());
    }
    let text = format!("nodes {places:?} show the same: {same}; their hash trees say otherwise");
    Err(Broken::new("trees", text))
}
