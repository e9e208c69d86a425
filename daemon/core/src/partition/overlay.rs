//! Entries whose latest change is not durable yet, each with its durable copy.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::entry::Entry;
use crate::key::Key;

use super::Ticket;
use super::cache::EntryCache;

/// The changed keys of one partition.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Ordered, because pages merge it with ordered rows.
    keys: BTreeMap<Key, Changed>,
    /// Tickets with the key that each changed, ascending.
    order: VecDeque<(Ticket, Key)>,
}

#[derive(Debug)]
struct Changed {
    durable: Entry,
    /// Ascending, never empty.
    pending: VecDeque<(Ticket, Entry)>,
}

impl Overlay {
    /// Adds a change; `before` is the entry that storage holds, used when the key has no other pending change.
    pub(super) fn stage(&mut self, key: &Key, ticket: Ticket, before: Entry, after: Entry) {
        let changed = self
            .keys
            .entry(key.clone())
            .or_insert_with(|| Changed { durable: before, pending: VecDeque::with_capacity(1) });
        changed.pending.push_back((ticket, after));
        self.order.push_back((ticket, key.clone()));
    }

    /// Changes up to `ticket` are durable; entries without further changes move to the cache.
    pub(super) fn committed(&mut self, ticket: Ticket, cache: &mut EntryCache) {
        while let Some((_, key)) = self.order.pop_front_if(|(staged, _)| *staged <= ticket) {
            let Some(changed) = self.keys.get_mut(&key) else { continue };
            while let Some((_, entry)) = changed.pending.pop_front_if(|(staged, _)| *staged <= ticket) {
                changed.durable = entry;
            }
            if changed.pending.is_empty() {
                cache.insert(&key, &changed.durable);
                self.keys.remove(&key);
            }
        }
    }

    /// The durable entry of a changed key.
    pub(super) fn durable(&self, key: &Key) -> Option<&Entry> {
        self.keys.get(key).map(|changed| &changed.durable)
    }

    /// The entry of a changed key with all its changes.
    pub(super) fn pending(&self, key: &Key) -> Option<&Entry> {
        self.keys.get(key)?.pending.back().map(|(_, entry)| entry)
    }

    /// The changed keys after `after` and up to `until`, ascending.
    pub(super) fn keys_between<'a>(
        &'a self,
        after: Option<&'a Key>,
        until: Option<&'a Key>,
    ) -> impl Iterator<Item = &'a Key> {
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let high = until.map_or(Bound::Unbounded, Bound::Included);
        // A range whose start lies after its end would panic.
        let empty = matches!((after, until), (Some(after), Some(until)) if after >= until);
        let range = (!empty).then(|| self.keys.range::<Key, _>((low, high)));
        range.into_iter().flatten().map(|(key, _)| key)
    }
}
