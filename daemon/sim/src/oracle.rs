//! What clients were told, and what may be concluded from it: the judge that looks at no replica's inside.

use std::collections::BTreeSet;

use bytes::Bytes;
use settle_core::clock::Clock;
use settle_core::dot::Dot;
use settle_core::key::{Key, PartitionId};

use crate::bits::Bits;
use crate::broken::Broken;
use crate::invariants::dots;
use crate::invariants::layouts::Decided;

/// The history of one run.
#[derive(Debug)]
pub struct Oracle {
    /// Each key's writes.
    pub keys: Vec<History>,
    /// Acknowledged writes in the order of their acknowledgement.
    pub acknowledged: Vec<Acknowledged>,
    minted: BTreeSet<(usize, Dot)>,
    /// The layouts that were decided.
    pub layouts: Decided,
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
    /// What clients asked for, in the order in which they did.
    pub operations: Vec<Operation>,
    /// The writes that another one supersedes.
    pub beaten: Bits,
    /// The writes of operations that were acknowledged at quorum.
    pub settled: Bits,
    /// The writes that were settled before another settled operation began.
    pub overwritten: Bits,
    /// The puts by which settled operations last stated their values.
    pub stated: Bits,
    /// Those that a read at quorum showed, or knew to be superseded, when it was answered.
    pub read: Bits,
}

/// What a client asked for once. At quorum it may be restated, and is several writes then.
#[derive(Debug)]
pub struct Operation {
    /// Whether a quorum must hold it.
    pub quorum: bool,
    /// Its writes.
    pub writes: Bits,
    /// The writes that were settled before it began.
    pub overwrites: Bits,
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
    /// The number of what it is part of.
    pub operation: usize,
}

impl Oracle {
    /// An empty history over `keys` keys, spread over `partitions` in turn.
    #[must_use]
    pub fn new(keys: usize, partitions: usize) -> Self {
        let history = |index: usize| History {
            key: Key::new("default", format!("k{index}").as_bytes()),
            partition: index % partitions,
            writes: Vec::new(),
            operations: Vec::new(),
            beaten: Bits::default(),
            settled: Bits::default(),
            overwritten: Bits::default(),
            stated: Bits::default(),
            read: Bits::default(),
        };
        let keys = (0..keys).map(history).collect();
        let (acknowledged, minted, layouts) = Default::default();
        Self { keys, acknowledged, minted, layouts }
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

    /// A client asks for a write of a key; returns the number of that.
    pub fn begin(&mut self, key: usize, quorum: bool) -> usize {
        let Some(history) = self.keys.get_mut(key) else { return 0 };
        history.operations.push(Operation { quorum, writes: Bits::default(), overwrites: history.settled });
        history.operations.len() - 1
    }

    /// Takes note of a write; returns its number.
    ///
    /// # Errors
    /// [`Broken`] when its dot is another write's.
    pub fn made(&mut self, made: Made<'_>) -> Result<usize, Broken> {
        let Made { key, dot, payload, contexts, over, coordinator, operation } = made;
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
        history.beaten = history.beaten.or(beats);
        if let Some(operation) = history.operations.get_mut(operation) {
            operation.writes.add(history.writes.len());
        }
        history.writes.push(WriteRecord { dot, payload, beats, coordinator });
        Ok(history.writes.len() - 1)
    }

    /// The value of what a client asked for.
    #[must_use]
    pub fn payload(&self, key: usize, operation: usize) -> Option<Bytes> {
        let history = self.keys.get(key)?;
        let first = history.operations.get(operation)?.writes.first()?;
        history.writes.get(first)?.payload.clone()
    }

    /// A client was told that its write is kept.
    pub fn acknowledge(&mut self, at: u64, key: usize, write: usize) {
        self.acknowledged.push(Acknowledged { at, key, write });
    }

    /// A client was told that a quorum keeps what it asked for.
    pub fn settle(&mut self, at: u64, key: usize, operation: usize) {
        let Some(history) = self.keys.get_mut(key) else { return };
        let Some(settled) = history.operations.get(operation) else { return };
        history.settled = history.settled.or(settled.writes);
        history.overwritten = history.overwritten.or(settled.overwrites);
        let last = settled.writes.iter().last();
        if let Some(put) = last.filter(|write| history.is_put(*write)) {
            history.stated.add(put);
        }
        let writes = settled.writes.iter().map(|write| Acknowledged { at, key, write });
        self.acknowledged.extend(writes);
    }
}

impl History {
    /// Whether a write has a value.
    #[must_use]
    pub fn is_put(&self, number: usize) -> bool {
        self.writes.get(number).is_some_and(|write| write.payload.is_some())
    }

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

    /// The dot of a write, for a message.
    #[must_use]
    pub fn dot(&self, number: usize) -> String {
        self.writes.get(number).map_or_else(String::new, |write| write.dot.to_string())
    }
}
