//! What a key and its versions count in a tree.
//!
//! SipHash-2-4 with 128 bits of output, a pseudorandom function for short inputs: a version of 100 bytes takes a
//! third of the time that a keyed BLAKE3 takes for it, and nobody needs to verify these hashes without the secret.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::dot::Dot;
use crate::entry::{Entry, Version};
use crate::key::Key;

use super::FANOUT_BITS;

/// What a cluster hashes its trees with. All its nodes have the same one, clients none.
#[derive(Clone, Copy)]
pub struct Secret {
    keys: [u8; 16],
    versions: [u8; 16],
}

/// What a write does to a tree. Changes of one tree can be applied in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub(super) place: Place,
    /// Added to each node from the root to the leaf, modulo 2^128.
    pub(super) by: u128,
}

/// Where a key is, in trees of every depth: its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u128);

impl Secret {
    /// A secret of 256 random bits, or bits that were derived from something secret by a cryptographic hash. One
    /// half hashes keys, the other versions, so that neither says anything about the other.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut secret = Self { keys: [0; 16], versions: [0; 16] };
        let (keys, versions) = bytes.split_at(16);
        secret.keys.copy_from_slice(keys);
        secret.versions.copy_from_slice(versions);
        secret
    }

    /// What `entry` contributes to the leaf of `key`: the sum over its siblings, 0 if it has none. Two replicas that
    /// compute the same hold the same versions under the key.
    #[must_use]
    pub fn fingerprint(&self, key: &Key, entry: &Entry) -> u128 {
        let place = self.place(key);
        entry.siblings.iter().fold(0, |sum, sibling| sum.wrapping_add(self.version(place, sibling)))
    }

    /// What it does to a tree that `key` held `before` and holds `after` now. Versions that both have are not hashed:
    /// adding an element to a large set costs one element.
    #[must_use]
    pub fn change(&self, key: &Key, before: &Entry, after: &Entry) -> Change {
        let place = self.place(key);
        let sum = |of: &Entry, other: &Entry| {
            let differing = of.siblings.iter().filter(|sibling| !holds(other, sibling));
            differing.fold(0_u128, |sum, sibling| sum.wrapping_add(self.version(place, sibling)))
        };
        Change { place, by: sum(after, before).wrapping_sub(sum(before, after)) }
    }

    /// The leaf of `key` in trees of this depth.
    #[must_use]
    pub fn leaf(&self, key: &Key, depth: u8) -> u32 {
        self.place(key).index(depth)
    }

    /// Tells secrets apart without telling anything about them.
    #[must_use]
    pub fn mark(&self) -> u64 {
        // Keys are hashed from their bytes alone, and versions from more than these.
        let keys = SipHasher24::new_with_key(&self.keys).hash(b"").as_u128();
        let versions = SipHasher24::new_with_key(&self.versions).hash(b"").as_u128();
        (keys ^ versions.rotate_left(1)) as u64
    }

    pub(super) fn place(&self, key: &Key) -> Place {
        Place(SipHasher24::new_with_key(&self.keys).hash(key.as_bytes()).as_u128())
    }

    /// The number of one version. Fields of fixed length come first and the payload last, so no two versions of any
    /// two keys are hashed from the same bytes (unless the keys' own hashes collide).
    fn version(&self, place: Place, (dot, version): &(Dot, Version)) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.versions);
        hasher.write(&place.0.to_le_bytes());
        for field in [dot.origin.node.0, dot.origin.epoch.0, dot.counter, version.stamp.0] {
            hasher.write(&field.to_le_bytes());
        }
        hasher.write(&version.payload);
        hasher.finish128().as_u128()
    }
}

/// Whether `entry` has exactly this sibling. Payloads are compared as well: the tree follows what is held, even if a
/// dot were to name two different versions.
fn holds(entry: &Entry, (dot, version): &(Dot, Version)) -> bool {
    let found = entry.siblings.binary_search_by_key(dot, |(dot, _)| *dot);
    found.ok().and_then(|index| entry.siblings.get(index)).is_some_and(|(_, other)| other == version)
}

impl Change {
    /// Whether trees stay as they are.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.by == 0
    }
}

impl Place {
    /// The index of the node above or at the key's leaf, in `level`.
    pub(super) fn index(self, level: u8) -> u32 {
        let bits = FANOUT_BITS * u32::from(level);
        self.0.checked_shr(u128::BITS - bits).unwrap_or(0) as u32
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
