//! How the kernel sees storage: rows to read, and batches of changes that someone else makes durable.
//!
//! A row's name is a table byte followed by the table's own key, big endian, so that one partition's rows of a table
//! are neighbours in order.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::dot::{Dot, NodeId, Origin};
use crate::key::{Key, PartitionId};

/// Why storage could not answer. An error is never taken for "absent".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The device is full; nothing of the batch is kept.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Reading or writing failed.
    #[error("storage failed: {0}")]
    Io(String),
    /// Stored bytes are not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
}

/// Rows that can be read. Reads see every batch that was committed, and none that was not.
pub trait Rows {
    /// One row's value.
    ///
    /// # Errors
    /// [`StorageError`]; an unreadable row is an error, not an absent one.
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Calls `visit` with each row from `from` (inclusive) to `to` (exclusive), ascending, until it breaks.
    ///
    /// # Errors
    /// [`StorageError`]; rows visited before it are valid.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError>;
}

/// Changes that become durable together or not at all.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// Row names with their new value, or `None` to remove the row; later changes of one row win.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
    /// Encoded log records, which [`crate::segment::Segments::seal`] turns into a row before the batch is committed.
    pub log: Vec<u8>,
}

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// The node's own records: identity, epoch, members. Not touched by partitions.
    Node = b'n',
    /// Partition -> the clock as of its last checkpoint; the log holds what came after.
    Clock = b'c',
    /// Partition, key -> entry.
    Entry = b'e',
    /// Partition, dot -> time and key, for dots that some replica has been lacking for a while.
    Log = b'l',
    /// Number -> the log records of one group of changes.
    Segment = b's',
    /// Partition, key: the keys whose stored entry has an explicit context.
    Residue = b'r',
    /// Partition, node -> the dots whose log records were dropped although that replica may lack them.
    Diverged = b'd',
    /// Partition: the marks of those that are being dropped.
    Dropping = b'x',
}

impl Batch {
    /// Sets a row.
    pub fn put(&mut self, row: Bytes, value: Bytes) {
        self.rows.push((row, Some(value)));
    }

    /// Removes a row; one that does not exist is no error.
    pub fn remove(&mut self, row: Bytes) {
        self.rows.push((row, None));
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.log.is_empty()
    }

    /// The size of its names and values, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let rows = self.rows.iter().map(|(row, value)| row.len() + value.as_ref().map_or(0, Bytes::len));
        rows.sum::<usize>() + self.log.len()
    }
}

impl Table {
    /// The name of a row of this table that belongs to no partition.
    #[must_use]
    pub fn row(self, name: &[u8]) -> Bytes {
        let mut row = Vec::with_capacity(1 + name.len());
        row.push(self as u8);
        row.extend_from_slice(name);
        Bytes::from(row)
    }

    /// The common front of one partition's rows in this table.
    #[must_use]
    pub fn prefix(self, partition: PartitionId) -> [u8; 3] {
        let [high, low] = partition.0.to_be_bytes();
        [self as u8, high, low]
    }

    /// The first row name after all rows of one partition in this table.
    #[must_use]
    pub fn end(self, partition: PartitionId) -> Vec<u8> {
        match partition.0.checked_add(1) {
            Some(next) => self.prefix(PartitionId(next)).to_vec(),
            None => vec![self as u8 + 1],
        }
    }

    /// The row of a key.
    #[must_use]
    pub fn key_row(self, partition: PartitionId, key: &Key) -> Bytes {
        let mut row = Vec::with_capacity(3 + key.as_bytes().len());
        row.extend_from_slice(&self.prefix(partition));
        row.extend_from_slice(key.as_bytes());
        Bytes::from(row)
    }

    /// The row of another replica of a partition.
    #[must_use]
    pub fn node_row(self, partition: PartitionId, node: NodeId) -> Bytes {
        let mut row = Vec::with_capacity(11);
        row.extend_from_slice(&self.prefix(partition));
        row.extend_from_slice(&node.0.to_be_bytes());
        Bytes::from(row)
    }

    /// The node of a row that [`Table::node_row`] named.
    #[must_use]
    pub fn row_node(row: &[u8]) -> Option<NodeId> {
        let bytes: &[u8; 8] = row.get(3..)?.try_into().ok()?;
        Some(NodeId(u64::from_be_bytes(*bytes)))
    }

    /// The key of a row that [`Table::key_row`] named.
    #[must_use]
    pub fn row_key(row: &[u8]) -> Key {
        Key::from_stored(Bytes::copy_from_slice(row.get(3..).unwrap_or_default()))
    }
}

/// The row of its own that a log record may have.
#[must_use]
pub fn log_row(partition: PartitionId, dot: Dot) -> Bytes {
    let mut row = Vec::with_capacity(27);
    row.extend_from_slice(&Table::Log.prefix(partition));
    row.extend_from_slice(&dot.origin.node.0.to_be_bytes());
    row.extend_from_slice(&dot.origin.epoch.0.to_be_bytes());
    row.extend_from_slice(&dot.counter.to_be_bytes());
    Bytes::from(row)
}

/// The dot of a row that [`log_row`] named.
#[must_use]
pub fn log_dot(row: &[u8]) -> Option<Dot> {
    let number = |at: usize| -> Option<u64> {
        let bytes = row.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes))
    };
    let origin = Origin { node: NodeId(number(3)?), epoch: crate::dot::Epoch(number(11)?) };
    Some(Dot { origin, counter: number(19)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::Epoch;

    #[test]
    fn log_rows_sort_by_origin_and_counter_and_name_their_dot() {
        let dot = |epoch, counter| Dot { origin: Origin { node: NodeId(7), epoch: Epoch(epoch) }, counter };
        let rows = [dot(1, 2), dot(1, 300), dot(2, 1)].map(|dot| log_row(PartitionId(3), dot));
        assert!(rows.is_sorted());
        assert_eq!(log_dot(&rows[1]), Some(dot(1, 300)));
        assert!(rows[2].as_ref() < Table::Log.end(PartitionId(3)).as_slice());
        assert!(
            Table::Log.end(PartitionId(u16::MAX)).as_slice()
                > log_row(PartitionId(u16::MAX), dot(1, 1)).as_ref()
        );
    }
}
