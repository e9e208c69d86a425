//! What fjall's errors mean here.

use std::io;

use fjall::{Error, LsmError};
use settle_core::storage::StorageError;

/// Sorts an engine's error into "full", "failed" and "damaged".
#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
pub(crate) fn storage_error(error: Error) -> StorageError {
    match &error {
        Error::Io(source) | Error::Storage(LsmError::Io(source)) => io_error(source),
        Error::Poisoned => StorageError::Io(
            "the engine stopped after a write in the foreground or background failed; restart the process, \
             after looking at the disk's free space and health"
                .to_owned(),
        ),
        Error::Locked => StorageError::Io("another process has the engine's files open".to_owned()),
        Error::KeyspaceDeleted => StorageError::Io(error.to_string()),
        _ => StorageError::Corrupt(error.to_string()),
    }
}

/// Sorts an operating system's error.
pub(crate) fn io_error(error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full(error.to_string()),
        // The engine opens only files that it made.
        io::ErrorKind::NotFound => StorageError::Corrupt(format!("a file of the engine is missing: {error}")),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StorageError::Corrupt(error.to_string()),
        _ => StorageError::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one_and_from_damaged_data() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(storage_error(Error::Io(full())), StorageError::Full(_)));
        assert!(matches!(storage_error(Error::Storage(LsmError::Io(full()))), StorageError::Full(_)));
        assert!(matches!(storage_error(Error::Io(io::Error::other("x"))), StorageError::Io(_)));
        assert!(matches!(storage_error(Error::Poisoned), StorageError::Io(_)));
        assert!(matches!(storage_error(Error::InvalidTrailer), StorageError::Corrupt(_)));
        assert!(matches!(storage_error(Error::Storage(LsmError::Unrecoverable)), StorageError::Corrupt(_)));
    }
}
