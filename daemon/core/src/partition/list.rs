//! Going through keys in order.

use std::ops::ControlFlow;

use crate::codec::Decode;
use crate::entry::Entry;
use crate::key::Key;
use crate::storage::{Rows, StorageError, Table};

use super::Partition;

impl Partition {
    /// Visits stored rows after `after`, ascending.
    pub(super) fn scan_entries(
        &self,
        rows: &dyn Rows,
        after: Option<&Key>,
        mut visit: impl FnMut(&Key, bytes::Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if self.is_dropping() {
            return Ok(());
        }
        let from = match after {
            // The smallest row name above the key's.
            Some(key) => [Table::Entry.key_row(self.id, key).as_ref(), &[0]].concat(),
            None => Table::Entry.prefix(self.id).to_vec(),
        };
        rows.scan(&from, &Table::Entry.end(self.id), &mut |row, value| visit(&Table::row_key(row), value))
    }

    /// Visits the keys that have a value and begin with `prefix`, after `after`, ascending. Eventually consistent: a
    /// key whose latest change is not durable yet may be listed or not.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn list(
        &self,
        rows: &dyn Rows,
        prefix: &Key,
        after: Option<&Key>,
        mut visit: impl FnMut(&Key) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if self.is_dropping() {
            return Ok(());
        }
        let mut outcome = Ok(());
        let begin = after.filter(|after| *after >= prefix);
        let from = match begin {
            Some(key) => [Table::Entry.key_row(self.id, key).as_ref(), &[0]].concat(),
            None => Table::Entry.key_row(self.id, prefix).to_vec(),
        };
        rows.scan(&from, &Table::Entry.end(self.id), &mut |row, value| {
            let key = Table::row_key(row);
            if !key.as_bytes().starts_with(prefix.as_bytes()) {
                return ControlFlow::Break(());
            }
            match Entry::from_bytes(value) {
                Ok(entry) if entry.siblings.is_empty() => ControlFlow::Continue(()),
                Ok(_) => visit(&key),
                Err(error) => {
                    outcome = Err(super::corrupt("entry", &error));
                    ControlFlow::Break(())
                }
            }
        })?;
        outcome
    }
}
