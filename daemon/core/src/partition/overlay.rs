//! Entries whose latest change is not durable yet, each with its durable copy.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::Change;

use super::Ticket;
use super::cache::EntryCache;

/// The changed keys of one partition.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Ordered, because pages merge it with ordered rows.
    keys: BTreeMap<Key, Changed>,
    /// Tickets with the key that each changed and what that does to the hash tree, ascending.
    order: VecDeque<(Ticket, Key, Change)>,
}

#[derive(Debug)]
struct Changed {
    durable: Entry,
    /// The first change that is not durable.
    first: (Ticket, Entry),
    /// Those after it, ascending; mostly none.
    later: VecDeque<(Ticket, Entry)>,
}

impl Overlay {
    /// Adds a change; `before` is the entry that storage holds, used when the key has no other pending change.
    pub(super) fn stage(&mut self, key: &Key, ticket: Ticket, before: Entry, after: Entry, change: Change) {
        match self.keys.get_mut(key) {
            Some(changed) => changed.later.push_back((ticket, after)),
            None => {
                let changed = Changed { durable: before, first: (ticket, after), later: VecDeque::new() };
                self.keys.insert(key.clone(), changed);
            }
        }
        self.order.push_back((ticket, key.clone(), change));
    }

    /// Changes up to `ticket` are durable, each of which `tell` is told; entries without further changes move to the
    /// cache.
    pub(super) fn committed(
        &mut self,
        ticket: Ticket,
        cache: &mut EntryCache,
        mut tell: impl FnMut(&Key, Change),
    ) {
        while let Some((_, key, change)) = self.order.pop_front_if(|(staged, ..)| *staged <= ticket) {
            tell(&key, change);
            let Some(changed) = self.keys.get_mut(&key) else { continue };
            if changed.committed(ticket) {
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
        let changed = self.keys.get(key)?;
        Some(changed.later.back().map_or(&changed.first.1, |(_, entry)| entry))
    }

    /// What the changes do to the hash tree.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> {
        self.order.iter().map(|(.., change)| *change)
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

impl Changed {
    /// Changes up to `ticket` are durable; says whether no other is left.
    fn committed(&mut self, ticket: Ticket) -> bool {
        while self.first.0 <= ticket {
            match self.later.pop_front() {
                Some(next) => self.durable = std::mem::replace(&mut self.first, next).1,
                None => {
                    self.durable = std::mem::take(&mut self.first.1);
                    return true;
                }
            }
        }
        false
    }
}
