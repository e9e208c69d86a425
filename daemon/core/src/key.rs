//! Keys as the kernel sees them, and the partitions that they fall into.

use bytes::Bytes;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes};

/// A bucket's name and a user's key in it, as one byte string: the name, a zero byte, the key. Bucket names hold no
/// zero byte, so keys of one bucket are neighbours and no two pairs share a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

/// A key's place in the hash space: the xxh3 hash of its stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u64);

/// A slice of the hash space, numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// The numbers of `count` partitions, at most 65,536.
    pub fn each(count: u32) -> impl Iterator<Item = Self> {
        (0..=u16::MAX).take(usize::try_from(count).unwrap_or(usize::MAX)).map(Self)
    }
}

impl Key {
    /// The key `key` of bucket `bucket`.
    #[must_use]
    pub fn new(bucket: &str, key: &[u8]) -> Self {
        let mut joined = Vec::with_capacity(bucket.len() + 1 + key.len());
        joined.extend_from_slice(bucket.as_bytes());
        joined.push(0);
        joined.extend_from_slice(key);
        Self(Bytes::from(joined))
    }

    /// A key from its stored form.
    #[must_use]
    pub const fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Its stored form.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bucket's name; empty if the stored form is not one that [`Key::new`] makes.
    #[must_use]
    pub fn bucket(&self) -> &str {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// Whether it belongs to a bucket of Settle's own: those begin with an underscore.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.first() == Some(&b'_')
    }

    /// The user's key.
    #[must_use]
    pub fn user_key(&self) -> &[u8] {
        self.0.iter().position(|byte| *byte == 0).and_then(|end| self.0.get(end + 1..)).unwrap_or_default()
    }

    /// Its place in the hash space.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(xxhash_rust::xxh3::xxh3_64(&self.0))
    }

    /// The partition of this key among `partitions` (a power of two, at most 65,536): the top bits of its hash.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> PartitionId {
        let slot = (u128::from(self.hash().0) * u128::from(partitions.max(1))) >> 64;
        PartitionId(slot as u16)
    }
}

impl Encode for Key {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.0);
    }
}

impl Decode for Key {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.bytes().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_parts_whatever_bytes_they_hold() {
        let key = Key::new("users", b"\0a/\xff");
        assert_eq!((key.bucket(), key.user_key()), ("users", &b"\0a/\xff"[..]));
        assert!(Key::new("users", b"").user_key().is_empty());
    }

    #[test]
    fn every_partition_gets_keys() {
        let mut hit = vec![0_u32; 128];
        for index in 0..12_800_u32 {
            hit[usize::from(Key::new("default", &index.to_le_bytes()).partition(128).0)] += 1;
        }
        assert!(hit.iter().all(|count| (40..200).contains(count)), "{hit:?}");
    }
}
