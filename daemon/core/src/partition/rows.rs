//! Reading a partition's rows.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::codec::{Decode, DecodeError};
use crate::entry::Entry;
use crate::key::{Key, PartitionId};
use crate::storage::{Rows, StorageError, Table};

/// The error of a row that cannot be decoded.
pub(super) fn corrupt(what: &str, error: &DecodeError) -> StorageError {
    StorageError::Corrupt(format!("{what}: {error}"))
}

/// The stored entry of a key.
pub(super) fn stored_entry(rows: &dyn Rows, id: PartitionId, key: &Key) -> Result<Entry, StorageError> {
    match rows.get(&Table::Entry.key_row(id, key))? {
        Some(stored) => Entry::from_bytes(stored).map_err(|error| corrupt("entry", &error)),
        None => Ok(Entry::default()),
    }
}

/// Visits every row of one table of one partition; the first error ends it.
pub(super) fn scan_table(
    rows: &dyn Rows,
    table: Table,
    id: PartitionId,
    mut visit: impl FnMut(&[u8], Bytes) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut outcome = Ok(());
    rows.scan(&table.prefix(id), &table.end(id), &mut |row, value| match visit(row, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            outcome = Err(error);
            ControlFlow::Break(())
        }
    })?;
    outcome
}
