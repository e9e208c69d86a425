//! The hash tree of one partition: whether two replicas hold the same data, and if not, under which keys.
//!
//! # What is hashed
//! Every sibling of every key contributes one 128-bit number, a keyed hash of the key, the sibling's dot, its stamp
//! and its payload ([`Secret`]). Numbers are added, modulo 2^128, into the leaf of their key; a node above is the sum
//! of its children, so the root is the sum of everything. A write takes the numbers of the versions that went off
//! this path and adds those that came: `depth + 1` additions, whatever the partition holds, and the order in which
//! writes are taken in does not matter. A key without siblings contributes nothing, nor do explicit contexts: a
//! deleted key leaves the tree as if it had never been written.
//!
//! # Why a sum is enough
//! Both the leaf of a key and the numbers depend on a secret of the cluster. To whoever lacks it they are random: two
//! different sets of versions have the same sum with probability 2^-128, and keys cannot be aimed at a leaf. That is
//! why sums of sums do above the leaves as well, where a tree of hashes would have to hash whole nodes at each write.
//! XOR would not do: a number that comes twice would vanish from it. With the secret, sums of chosen numbers *can* be
//! made to meet; it stays inside the cluster, like the messages of the walk, which show the numbers themselves.
//!
//! # Comparing
//! Equal roots: equal data. Otherwise a [walk] goes down one level per question and answer, along all paths
//! that differ at once; which keys of a leaf do, their fingerprints tell. What a comparison says depends on the clocks
//! that the trees reflect; the caller sees to that, as to which instant a tree stands for.

mod hash;
mod leaves;
pub mod walk;

use crate::entry::Entry;
use crate::key::Key;

pub use hash::{Change, Secret};
pub use leaves::Leaves;

/// Children of each node above the leaves. Wide, so that a walk takes few rounds: each costs a round trip.
pub const FANOUT: usize = 32;
/// The depth that replicas use: 1,024 leaves. A tree takes 16.5 KiB, those of 128 partitions 2.1 MiB.
pub const DEPTH: u8 = 2;
/// The greatest depth: 32,768 leaves, 528 KiB.
pub const DEPTH_MAX: u8 = 3;

/// Bits of a key's hash that choose a child: `FANOUT` is two to this.
const FANOUT_BITS: u32 = 5;

/// The hash tree of one partition.
///
/// Nodes are named by level, 0 being the root and the tree's depth the leaves, and by index within the level; the
/// children of a node are neighbours in the level below. Two trees are equal if their leaves are.
#[derive(Debug, Clone)]
pub struct Tree {
    secret: Secret,
    depth: u8,
    /// Level by level from the root; empty until the first sibling comes.
    sums: Vec<u128>,
}

impl Tree {
    /// The tree of a partition without data, which takes no memory yet. Trees can be compared if they have the same
    /// secret and depth. A depth outside of 1 to [`DEPTH_MAX`] becomes the nearest inside.
    #[must_use]
    pub fn new(secret: Secret, depth: u8) -> Self {
        Self { secret, depth: depth.clamp(1, DEPTH_MAX), sums: Vec::new() }
    }

    /// The level of its leaves.
    #[must_use]
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// How many leaves it has.
    #[must_use]
    pub const fn leaves(&self) -> u32 {
        width(self.depth)
    }

    /// The secret with which its keys and versions are hashed.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Takes in that `key` held `before` and holds `after` now; an absent entry is one without siblings. Hashes the
    /// versions that went and those that came, in full: a quarter of a microsecond when one value of 100 bytes takes
    /// the place of another, half a nanosecond for each byte beyond.
    ///
    /// The tree trusts its caller: were `before` not what was taken in last, it would differ from the data for good.
    pub fn replace(&mut self, key: &Key, before: &Entry, after: &Entry) {
        self.apply(self.secret.change(key, before, after));
    }

    /// Takes in a change that was computed earlier, for callers that know of it before it counts.
    pub fn apply(&mut self, change: Change) {
        if change.is_nothing() {
            return;
        }
        if self.sums.is_empty() {
            self.sums = vec![0; first_of(self.depth + 1)];
        }
        for level in 0..=self.depth {
            let index = first_of(level) + change.place.index(level) as usize;
            if let Some(sum) = self.sums.get_mut(index) {
                *sum = sum.wrapping_add(change.by);
            }
        }
    }

    /// The sum of everything; 0 without data.
    #[must_use]
    pub fn root(&self) -> u128 {
        self.node(0, 0)
    }

    /// The sum of one node; 0 if nothing is under it, or if the tree has no such node.
    #[must_use]
    pub fn node(&self, level: u8, index: u32) -> u128 {
        if level > self.depth || index >= width(level) {
            return 0;
        }
        self.sums.get(first_of(level) + index as usize).copied().unwrap_or(0)
    }

    /// The sum of one leaf: that of the fingerprints of its keys.
    #[must_use]
    pub fn leaf(&self, index: u32) -> u128 {
        self.node(self.depth, index)
    }

    /// The sums of a node's children; zeros for a leaf.
    #[must_use]
    pub fn children(&self, level: u8, index: u32) -> [u128; FANOUT] {
        let mut sums = [0; FANOUT];
        for (sum, child) in sums.iter_mut().zip(child_indices(index)) {
            *sum = self.node(level.saturating_add(1), child);
        }
        sums
    }

    /// The leaf of `key`.
    #[must_use]
    pub fn leaf_of(&self, key: &Key) -> u32 {
        self.secret.place(key).index(self.depth)
    }

    /// What `entry` contributes to the leaf of `key`; 0 if it has no siblings.
    #[must_use]
    pub fn fingerprint(&self, key: &Key, entry: &Entry) -> u128 {
        self.secret.fingerprint(key, entry)
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.depth == other.depth && (0..self.leaves()).all(|index| self.leaf(index) == other.leaf(index))
    }
}

impl Eq for Tree {}

/// How many nodes a level has.
const fn width(level: u8) -> u32 {
    1 << (FANOUT_BITS * level as u32)
}

/// How many nodes are above a level, which is where its sums begin.
const fn first_of(level: u8) -> usize {
    (width(level) as usize - 1) / (FANOUT - 1)
}

/// The indices of a node's children, in their level.
fn child_indices(index: u32) -> impl Iterator<Item = u32> {
    let first = index.saturating_mul(FANOUT as u32);
    (0..FANOUT as u32).map(move |offset| first.saturating_add(offset))
}

#[cfg(test)]
mod tests;
