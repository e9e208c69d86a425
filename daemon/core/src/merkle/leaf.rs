//! Which keys of a leaf differ.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::key::Key;

use super::walk::{SUM_BYTES, put_sum, read_sum};
use super::{DEPTH_MAX, width};

/// The keys of one leaf that have siblings, with the fingerprints of their entries. The keys of a leaf are scattered
/// over the partition, for a hash decides: whoever lists leaves goes through all keys once, for all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafKeys {
    /// The leaf.
    pub leaf: u32,
    /// Keys, ascending, and what [`Tree::fingerprint`](super::Tree::fingerprint) says of their entries.
    pub keys: Vec<(Key, u128)>,
}

impl LeafKeys {
    /// What the leaf's sum must be. A tree that says otherwise was not told of every write, or the rows under it have
    /// changed by themselves: a scrub compares the two.
    #[must_use]
    pub fn sum(&self) -> u128 {
        self.keys.iter().fold(0, |sum, (_, fingerprint)| sum.wrapping_add(*fingerprint))
    }

    /// The keys that only one side has, or that have different versions: ascending.
    #[must_use]
    pub fn differing(&self, theirs: &Self) -> Vec<Key> {
        let lacks = |keys: &[(Key, u128)], (key, fingerprint): &(Key, u128)| {
            let found =
                keys.binary_search_by_key(&key, |(key, _)| key).ok().and_then(|index| keys.get(index));
            found.is_none_or(|(_, other)| other != fingerprint)
        };
        let only = |of: &Self, other: &Self| {
            let keys = of.keys.iter().filter(|item| lacks(&other.keys, item));
            keys.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let mut keys = only(self, theirs);
        keys.extend(only(theirs, self));
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Encode for LeafKeys {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.leaf));
        put_varint(out, self.keys.len() as u64);
        for (key, fingerprint) in &self.keys {
            key.encode(out);
            put_sum(out, *fingerprint);
        }
    }
}

impl Decode for LeafKeys {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let leaf = u32::try_from(input.varint()?).unwrap_or(u32::MAX);
        if leaf >= width(DEPTH_MAX) {
            return Err(DecodeError::Invalid("hash tree: leaf"));
        }
        let count = input.count(1 + SUM_BYTES)?;
        let mut keys: Vec<(Key, u128)> = Vec::with_capacity(count);
        for _ in 0..count {
            let key = Key::decode(input)?;
            if keys.last().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::Invalid("hash tree: keys out of order"));
            }
            keys.push((key, read_sum(input)?));
        }
        Ok(Self { leaf, keys })
    }
}
