//! What a client could read at one replica of a partition at one instant.

use settle_core::clock::Clock;
use settle_core::dot::Dot;
use settle_core::entry::Entry;
use settle_core::partition::Partition;
use settle_core::storage::{Rows, StorageError};

use crate::bits::Bits;
use crate::oracle::{History, Oracle};

/// The readable state of one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The clock that others are told.
    pub clock: Clock,
    /// The keys of the partition.
    pub keys: Vec<KeyView>,
}

/// The readable state of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyView {
    /// The key's index in the oracle.
    pub key: usize,
    /// The writes whose values are shown.
    pub siblings: Bits,
    /// The writes that the clock holds.
    pub clocked: Bits,
    /// The writes that clock or explicit context hold: what is reflected.
    pub seen: Bits,
    /// Values shown that nobody wrote, or not like that.
    pub strangers: Vec<Dot>,
}

impl View {
    /// Reads all keys of partition number `index`.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn read(
        partition: &Partition,
        index: usize,
        rows: &dyn Rows,
        oracle: &Oracle,
    ) -> Result<Self, StorageError> {
        let clock = partition.durable();
        let mut keys = Vec::with_capacity(oracle.keys.len());
        for (key, history) in oracle.keys.iter().enumerate().filter(|(_, history)| history.partition == index)
        {
            let entry = partition.read(rows, &history.key)?;
            keys.push(KeyView::of(key, history, &entry, clock));
        }
        Ok(Self { clock: clock.clone(), keys })
    }

    /// The view of one key.
    #[must_use]
    pub fn key(&self, key: usize) -> Option<&KeyView> {
        self.keys.iter().find(|view| view.key == key)
    }

    /// Whether no entry has an explicit context that says more than the clock.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.keys.iter().all(|key| key.seen == key.clocked)
    }

    /// Whether the same values can be read in `other`.
    #[must_use]
    pub fn shows_same(&self, other: &Self) -> bool {
        let same = |(one, two): (&KeyView, &KeyView)| {
            one.siblings == two.siblings && one.strangers.is_empty() && two.strangers.is_empty()
        };
        self.keys.iter().zip(&other.keys).all(same)
    }

    /// Whether everything seen in `earlier` is seen here too.
    #[must_use]
    pub fn covers(&self, earlier: &Self) -> bool {
        let seen = |key: &KeyView| self.key(key.key).map(|now| now.seen).unwrap_or_default();
        self.clock.covers(&earlier.clock)
            && earlier.keys.iter().all(|key| key.seen.minus(seen(key)) == Bits::default())
    }
}

impl KeyView {
    fn of(key: usize, history: &History, entry: &Entry, clock: &Clock) -> Self {
        let mut view = Self { key, ..Self::default() };
        for (number, write) in history.writes.iter().enumerate() {
            if clock.has(write.dot) {
                view.clocked.add(number);
            } else if entry.context.has(write.dot) {
                view.seen.add(number);
            }
        }
        view.seen = view.seen.or(view.clocked);
        for (dot, version) in &entry.siblings {
            let number = history.writes.iter().position(|write| write.dot == *dot);
            let known = number.filter(|number| {
                history
                    .writes
                    .get(*number)
                    .is_some_and(|write| write.payload.as_ref() == Some(&version.payload))
            });
            match known {
                Some(number) => view.siblings.add(number),
                None => view.strangers.push(*dot),
            }
        }
        view
    }
}
