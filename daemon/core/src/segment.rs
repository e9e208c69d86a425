//! Log segments: the log records of one group commit, in one row.
//!
//! Nearly every log record is superfluous a second later, when all replicas have its write. A row of its own for each,
//! and another change to remove it, would be two thirds of all that is written. So fresh records go to storage as one
//! row per group of changes, together with the changes themselves, and are kept in memory; the few that outlive two
//! rounds of cleaning get rows of their own ([`crate::partition::Partition::spill`]), and whole segments are removed.
//!
//! ```text
//!   changes ──> seal: one row per group ──> reported durable ──> a round later: pruned or spilled ──> row removed
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::dot::Dot;
use crate::key::{Key, PartitionId};
use crate::storage::{Batch, Rows, StorageError, Table};

/// A segment's number; they rise with time.
pub type SegmentId = u64;

/// Log records by partition.
pub type Records = BTreeMap<PartitionId, Vec<Logged>>;

/// A log record that a segment held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The write.
    pub dot: Dot,
    /// What it wrote.
    pub key: Key,
    /// When its segment was written, in seconds on the clock of [`Segments::seal`].
    pub at: u64,
}

/// The format of a segment.
const SEGMENT_VERSION: u8 = 2;

/// The segments of one node, as they are written.
#[derive(Debug, Default)]
pub struct Segments {
    kept: Kept,
}

/// Which segments there are, and which may go. A record that is reported durable when a round of cleaning begins has been
/// pruned or spilled at the end of the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// All up to this one are removed.
    removed: SegmentId,
    /// All up to this one were reported durable when the last round began.
    last_round: SegmentId,
    /// All up to this one are reported durable; the newest of all where they are written.
    newest: SegmentId,
}

/// A round of cleaning that has begun.
#[derive(Debug)]
pub struct Round {
    /// What was reported durable before.
    reported: SegmentId,
}

impl Kept {
    /// All segments up to `segment` are reported durable to their partitions.
    pub fn reported(&mut self, segment: SegmentId) {
        self.newest = self.newest.max(segment);
    }

    /// The newest that is reported durable.
    #[must_use]
    pub const fn newest(&self) -> SegmentId {
        self.newest
    }

    /// Whether all up to `segment` are removed, or on their way.
    #[must_use]
    pub const fn has_removed(&self, segment: SegmentId) -> bool {
        self.removed >= segment
    }

    /// Begins a round: from now on each partition is pruned, and spilled.
    #[must_use]
    pub const fn round(&self) -> Round {
        Round { reported: self.newest }
    }

    /// A round ended in which every partition was spilled; one that did not get so far is dropped instead. Returns the
    /// removal of the segments that nobody needs any more, to be committed after what the round changed.
    #[must_use]
    pub fn finish(&mut self, Round { reported }: Round) -> Batch {
        let mut batch = Batch::default();
        for number in self.removed + 1..=self.last_round {
            batch.remove(row(number));
        }
        (self.removed, self.last_round) = (self.last_round.max(self.removed), reported);
        batch
    }
}

impl Segments {
    /// What a node's storage holds: its segments, and the records in them.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read or decoded.
    pub fn recover(rows: &dyn Rows) -> Result<(Self, Records), StorageError> {
        let (mut kept, mut records, mut outcome) = (Kept::default(), Records::new(), Ok(()));
        let (from, to) = ([Table::Segment as u8], [Table::Segment as u8 + 1]);
        rows.scan(&from, &to, &mut |row, value| match take(row, value, &mut records) {
            Ok(number) => {
                if kept.newest == 0 {
                    (kept.removed, kept.last_round) = (number.saturating_sub(1), number.saturating_sub(1));
                }
                kept.newest = number;
                ControlFlow::Continue(())
            }
            Err(error) => {
                outcome = Err(StorageError::Corrupt(format!("log segment: {error}")));
                ControlFlow::Break(())
            }
        })?;
        outcome.map(|()| (Self { kept }, records))
    }

    /// The newest segment; 0 before the first.
    #[must_use]
    pub const fn newest(&self) -> SegmentId {
        self.kept.newest
    }

    /// Those that storage holds.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Makes one row of the log records of `batches`, which are about to be committed as one, and adds it to them. It is
    /// `at`, in seconds since 1970.
    pub fn seal(&mut self, batches: &mut Vec<Batch>, at: u64) {
        let length: usize = batches.iter().map(|batch| batch.log.len()).sum();
        if length == 0 {
            return;
        }
        let mut records = Vec::with_capacity(11 + length);
        records.push(SEGMENT_VERSION);
        put_varint(&mut records, at);
        for batch in batches.iter_mut() {
            records.append(&mut batch.log);
        }
        self.kept.newest += 1;
        let mut sealed = Batch::default();
        sealed.put(row(self.kept.newest), records.into());
        batches.push(sealed);
    }
}

/// Adds a record to a batch's part of its segment.
pub(crate) fn put_record(log: &mut Vec<u8>, partition: PartitionId, dot: Dot, key: &Key) {
    log.reserve(32 + key.as_bytes().len());
    put_varint(log, u64::from(partition.0));
    dot.encode(log);
    key.encode(log);
}

fn row(number: SegmentId) -> Bytes {
    Table::Segment.row(&number.to_be_bytes())
}

fn take(row: &[u8], value: Bytes, records: &mut Records) -> Result<SegmentId, DecodeError> {
    let number = row.get(1..).and_then(|number| number.first_chunk::<8>());
    let number =
        number.map(|number| u64::from_be_bytes(*number)).ok_or(DecodeError::Invalid("its row's name"))?;
    let mut input = Reader::new(value);
    input.version("segment", SEGMENT_VERSION)?;
    let at = input.varint()?;
    while input.remaining() > 0 {
        let partition = u16::try_from(input.varint()?);
        let partition = partition.map_err(|_| DecodeError::Invalid("partitions run up to 65,535"))?;
        let (dot, key) = (Dot::decode(&mut input)?, Key::decode(&mut input)?);
        records.entry(PartitionId(partition)).or_default().push(Logged { dot, key, at });
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
