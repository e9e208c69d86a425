//! What clients were told, and what may be concluded from it: the judge that looks at no replica's inside.

use std::collections::BTreeSet;

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::dot::Dot;
use settle_core::key::{Key, PartitionId};

use crate::bits::Bits;
use crate::broken::Broken;
use crate::invariants::dots;

/// The history of one run.
#[derive(Debug)]
pub struct Oracle {
    /// Each key's writes.
    pub keys: Vec<History>,
    /// Acknowledged writes in the order of their acknowledgement.
    pub acknowledged: Vec<Acknowledged>,
    minted: BTreeSet<(usize, Dot)>,
}

/// The writes of one key, numbered in the order in which they were made.
#[derive(Debug)]
pub struct History {
    /// The key.
    pub key: Key,
    /// Its partition.
    pub partition: usize,
    /// Its writes.
    pub writes: Vec<WriteRecord>,
    /// Those that some replica has said to have.
    pub published: Bits,
}

/// One write, as its client knows it.
#[derive(Debug)]
pub struct WriteRecord {
    /// Its name.
    pub dot: Dot,
    /// The value put, or `None` for a delete.
    pub payload: Option<Bytes>,
    /// The earlier writes of the key that it supersedes.
    pub beats: Bits,
    /// The node that took it.
    pub coordinator: usize,
}

/// The client of a write was told that it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// When.
    pub at: u64,
    /// The key's index.
    pub key: usize,
    /// The write's number among the key's.
    pub write: usize,
}

/// A write as it goes out, with what it supersedes by the word of client and coordinator.
#[derive(Debug)]
pub struct Made<'a> {
    /// The key's index.
    pub key: usize,
    /// The write's name.
    pub dot: Dot,
    /// The value put, or `None` for a delete.
    pub payload: Option<Bytes>,
    /// The contexts that it was made under: the client's, and the one that goes to the replicas.
    pub contexts: [&'a Clock; 2],
    /// For a write that supersedes all that its coordinator has seen: what clients could read there.
    pub over: Option<Bits>,
    /// The node that took it.
    pub coordinator: usize,
}

impl Oracle {
    /// An empty history over `keys` keys, spread over `partitions` in turn.
    #[must_use]
    pub fn new(keys: usize, partitions: usize) -> Self {
        let history = |index: usize| History {
            key: Key::new("default", format!("k{index}").as_bytes()),
            partition: index % partitions,
            writes: Vec::new(),
            published: Bits::default(),
        };
        Self { keys: (0..keys).map(history).collect(), acknowledged: Vec::new(), minted: BTreeSet::new() }
    }

    /// The number that a partition has as an index here.
    #[must_use]
    pub fn partition_id(index: usize) -> PartitionId {
        PartitionId(index as u16)
    }

    /// Whether the key takes another write: its numbers fit [`Bits`].
    #[must_use]
    pub fn has_room(&self, key: usize) -> bool {
        self.keys.get(key).is_some_and(|history| history.writes.len() < Bits::LEN)
    }

    /// Takes note of a write; returns its number.
    ///
    /// # Errors
    /// [`Broken`] when its dot is another write's.
    pub fn made(&mut self, made: Made<'_>) -> Result<usize, Broken> {
        let Made { key, dot, payload, contexts, over, coordinator } = made;
        let Some(history) = self.keys.get_mut(key) else { return Ok(0) };
        let fresh = self.minted.insert((history.partition, dot));
        dots::check(fresh, dot, coordinator)?;
        let mut beats = Bits::default();
        for (number, earlier) in history.writes.iter().enumerate() {
            let seen = over.is_some_and(|over| over.has(number) || earlier.dot.origin == dot.origin);
            if seen || contexts.iter().any(|context| context.has(earlier.dot)) {
                beats.add(number);
            }
        }
        history.writes.push(WriteRecord { dot, payload, beats, coordinator });
        Ok(history.writes.len() - 1)
    }

    /// A client was told that its write is kept.
    pub fn acknowledge(&mut self, at: u64, key: usize, write: usize) {
        self.acknowledged.push(Acknowledged { at, key, write });
    }
}

impl History {
    /// The puts among `seen` that nothing among `by` supersedes.
    #[must_use]
    pub fn visible(&self, seen: Bits, by: Bits) -> Bits {
        let mut puts = Bits::default();
        let mut beaten = Bits::default();
        for (number, write) in self.writes.iter().enumerate() {
            if by.has(number) {
                beaten = beaten.or(write.beats);
            }
            if write.payload.is_some() && seen.has(number) {
                puts.add(number);
            }
        }
        puts.minus(beaten)
    }

    /// Whether some replica has said to have a delete that supersedes `number`, or one of those that superseded it.
    #[must_use]
    pub fn is_deleted(&self, number: usize) -> bool {
        let mut heirs = Bits::default();
        heirs.add(number);
        let mut deleted = false;
        // What supersedes a write is made after it.
        for (later, write) in self.writes.iter().enumerate().skip(number + 1) {
            if self.published.has(later) && write.beats.and(heirs) != Bits::default() {
                heirs.add(later);
                deleted |= write.payload.is_none();
            }
        }
        deleted
    }

    /// The dot of a write, for a message.
    #[must_use]
    pub fn dot(&self, number: usize) -> String {
        self.writes.get(number).map_or_else(String::new, |write| write.dot.to_string())
    }
}
