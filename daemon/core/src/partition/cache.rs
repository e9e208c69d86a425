//! Recently used entries, decoded: a write or a read of a warm key touches no storage.
//!
//! When it is full a hand goes round and takes out what was not used since it last came by (the CLOCK algorithm, Corbató
//! 1969). The cache lives under the partition's lock and holds durable entries of keys without pending changes only, so
//! it can never be behind storage.

use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;
use indexmap::IndexMap;

use crate::entry::{Entry, Version};
use crate::key::Key;

/// What a cached entry costs beyond its bytes, roughly: map slots, vectors, reference counts.
const OVERHEAD_BYTES: usize = 200;

/// The part of the cache that one entry may take.
const ENTRY_SHARE: usize = 4;

/// xxh3 over what is written; keys are short, so there is no state to keep between parts but their hash.
#[derive(Debug, Default)]
struct KeyHasher(u64);

/// A bounded cache of entries.
#[derive(Debug, Default)]
pub(super) struct EntryCache {
    entries: IndexMap<Key, Cached, BuildHasherDefault<KeyHasher>>,
    /// Where the hand is.
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Cached {
    entry: Entry,
    /// Used since the hand last came by.
    used: bool,
}

impl EntryCache {
    /// A cache of at most about `bytes_max` bytes; 0 caches nothing.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// The cached entry of a key.
    pub(super) fn get(&mut self, key: &Key) -> Option<&Entry> {
        let cached = self.entries.get_mut(key)?;
        cached.used = true;
        Some(&cached.entry)
    }

    /// Caches the durable entry of a key. Bytes are copied: they may be slices of a whole network frame.
    pub(super) fn insert(&mut self, key: &Key, entry: &Entry) {
        if self.bytes_max == 0 {
            return;
        }
        if size(key, entry) > self.bytes_max / ENTRY_SHARE {
            // It would drive out much for little; an older copy of it must not stay.
            if let Some(cached) = self.entries.swap_remove(key) {
                self.bytes -= size(key, &cached.entry);
            }
            return;
        }
        self.bytes += size(key, entry);
        if let Some(cached) = self.entries.get_mut(key) {
            self.bytes -= size(key, &cached.entry);
            cached.used = true;
            copy_into(&mut cached.entry, entry);
        } else {
            let mut copy = Entry::default();
            copy_into(&mut copy, entry);
            let key = Key::from_stored(Bytes::copy_from_slice(key.as_bytes()));
            self.entries.insert(key, Cached { entry: copy, used: false });
        }
        while self.bytes > self.bytes_max {
            self.evict();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    /// Moves the hand on by one entry, and takes that out or gives it another round.
    fn evict(&mut self) {
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        match self.entries.get_index_mut(self.hand) {
            Some((_, cached)) if cached.used => {
                cached.used = false;
                self.hand += 1;
            }
            // The last one takes its place, and is looked at next.
            _ => {
                if let Some((key, cached)) = self.entries.swap_remove_index(self.hand) {
                    self.bytes -= size(&key, &cached.entry);
                }
            }
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

fn size(key: &Key, entry: &Entry) -> usize {
    let versions: usize = entry.siblings.iter().map(|(_, version)| version.payload.len() + 64).sum();
    key.as_bytes().len() + versions + OVERHEAD_BYTES
}

/// Copies an entry, its payloads included, into the room that another one had.
fn copy_into(copy: &mut Entry, entry: &Entry) {
    let payload = |version: &Version| Bytes::copy_from_slice(&version.payload);
    let siblings = entry.siblings.iter();
    copy.siblings.clear();
    copy.siblings.extend(
        siblings.map(|(dot, version)| (*dot, Version { stamp: version.stamp, payload: payload(version) })),
    );
    copy.context.clone_from(&entry.context);
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
        let held: usize = cache.entries.iter().map(|(key, cached)| size(key, &cached.entry)).sum();
        assert_eq!(held, cache.bytes);
        assert!((9_500..=10_000).contains(&held), "{held} bytes");
        assert_eq!(cache.get(&Key::new("b", &0_u32.to_le_bytes())), None);
    }

    #[test]
    fn a_newer_entry_replaces_an_older_one() {
        let mut cache = EntryCache::new(2_000);
        let key = Key::new("b", b"k");
        cache.insert(&key, &entry(1));
        cache.insert(&key, &entry(2));
        assert_eq!(cache.get(&key), Some(&entry(2)));
        assert_eq!(cache.entries.len(), 1);
    }

    #[test]
    fn what_is_too_large_leaves_neither_itself_nor_its_older_copy() {
        let mut cache = EntryCache::new(2_000);
        let (key, other) = (Key::new("b", b"k"), Key::new("b", b"other"));
        cache.insert(&other, &entry(1));
        cache.insert(&key, &entry(1));
        let mut large = entry(2);
        large.siblings[0].1.payload = Bytes::from(vec![0; 1_000]);
        cache.insert(&key, &large);
        assert_eq!(cache.get(&key), None);
        assert_eq!(cache.get(&other), Some(&entry(1)));
        assert_eq!(cache.bytes, size(&other, &entry(1)));
    }

    #[test]
    fn all_of_what_fits_stays() {
        let mut cache = EntryCache::new(10_000);
        let keys: Vec<Key> = (0..30_u32).map(|index| Key::new("b", &index.to_le_bytes())).collect();
        for key in keys.iter().cycle().take(300) {
            cache.insert(key, &entry(1));
        }
        assert!(keys.iter().all(|key| cache.get(key).is_some()));
    }
}
