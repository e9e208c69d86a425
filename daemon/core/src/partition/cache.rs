//! Recently used entries, decoded: a write or a read of a warm key touches no storage.
//!
//! Two generations stand in for a list by last use: what is used moves to the young one; when that is full it becomes
//! the old one, and what was left in the old one is forgotten. The cache lives under the partition's lock and holds
//! durable entries of keys without pending changes only, so it can never be behind storage.

use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;

use crate::entry::{Entry, Version};
use crate::key::Key;

/// What a cached entry costs beyond its bytes, roughly: map slots, vectors, reference counts.
const OVERHEAD_BYTES: usize = 200;

/// Entries by key. Nothing ever depends on its order.
#[expect(
    clippy::disallowed_types,
    reason = "looked up by key only, with a hash that is the same in every run"
)]
type Generation = std::collections::HashMap<Key, Entry, BuildHasherDefault<KeyHasher>>;

/// xxh3 over what is written; keys are short, so there is no state to keep between parts but their hash.
#[derive(Debug, Default)]
struct KeyHasher(u64);

/// A bounded cache of entries.
#[derive(Debug, Default)]
pub(super) struct EntryCache {
    young: Generation,
    old: Generation,
    young_bytes: usize,
    generation_bytes_max: usize,
}

impl EntryCache {
    /// A cache of at most about `bytes_max` bytes; 0 caches nothing.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { generation_bytes_max: bytes_max / 2, ..Self::default() }
    }

    /// The cached entry of a key.
    pub(super) fn get(&mut self, key: &Key) -> Option<&Entry> {
        if !self.young.contains_key(key) {
            let (key, entry) = self.old.remove_entry(key)?;
            self.put(key, entry);
        }
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Caches the durable entry of a key. Bytes are copied: they may be slices of a whole network frame.
    pub(super) fn insert(&mut self, key: &Key, entry: &Entry) {
        if self.generation_bytes_max == 0 {
            return;
        }
        self.old.remove(key);
        self.put(Key::from_stored(Bytes::copy_from_slice(key.as_bytes())), detached(entry));
    }

    fn put(&mut self, key: Key, entry: Entry) {
        let key_bytes = key.as_bytes().len();
        self.young_bytes += size(key_bytes, &entry);
        if let Some(replaced) = self.young.insert(key, entry) {
            self.young_bytes -= size(key_bytes, &replaced);
        }
        if self.young_bytes > self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn size(key_bytes: usize, entry: &Entry) -> usize {
    let versions: usize = entry.siblings.iter().map(|(_, version)| version.payload.len() + 64).sum();
    key_bytes + versions + OVERHEAD_BYTES
}

fn detached(entry: &Entry) -> Entry {
    let copy =
        |version: &Version| Version { payload: Bytes::copy_from_slice(&version.payload), ..version.clone() };
    let siblings = entry.siblings.iter().map(|(dot, version)| (*dot, copy(version))).collect();
    Entry { siblings, context: entry.context.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::{Dot, Epoch, NodeId, Origin};
    use crate::hlc::Hlc;

    fn entry(counter: u64) -> Entry {
        let mut entry = Entry::default();
        let dot = Dot { origin: Origin { node: NodeId(1), epoch: Epoch(1) }, counter };
        entry.insert(dot, Version { stamp: Hlc(counter), payload: Bytes::from_static(b"value") });
        entry
    }

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let mut cache = EntryCache::new(10_000);
        let hot = Key::new("b", b"hot");
        cache.insert(&hot, &entry(1));
        for index in 0..1_000_u32 {
            cache.insert(&Key::new("b", &index.to_le_bytes()), &entry(2));
            assert_eq!(cache.get(&hot), Some(&entry(1)));
        }
        let held: usize =
            cache.young.iter().chain(&cache.old).map(|(key, entry)| size(key.as_bytes().len(), entry)).sum();
        assert!(held <= 11_000, "{held} bytes");
        assert_eq!(cache.get(&Key::new("b", &0_u32.to_le_bytes())), None);
    }

    #[test]
    fn a_newer_entry_replaces_an_older_one_in_either_generation() {
        let mut cache = EntryCache::new(2_000);
        let key = Key::new("b", b"k");
        cache.insert(&key, &entry(1));
        cache.insert(&Key::new("b", b"1"), &entry(9));
        cache.insert(&Key::new("b", b"2"), &entry(9));
        cache.insert(&Key::new("b", b"3"), &entry(9));
        cache.insert(&key, &entry(2));
        assert_eq!(cache.get(&key), Some(&entry(2)));
    }
}
