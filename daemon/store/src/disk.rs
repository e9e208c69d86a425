//! What a store must do beyond reading: commit batches, sync, and say how large it is.

use settle_core::storage::{Batch, Rows, StorageError};

/// The longest row name that a disk takes, in bytes; names have at least one byte.
pub(crate) const ROW_NAME_BYTES_MAX: usize = 65_535;

/// Rows that can be changed.
///
/// One thread commits, any number read meanwhile. After a failed commit or sync every later one fails too, until the
/// disk is opened anew; what was handed to the failed one is then there whole or not at all.
pub trait Disk: Rows + Send + Sync {
    /// Applies all batches as one atomic write, in their order: a later change of a row wins over an earlier one.
    /// With `sync` it returns once they and everything before them are on the device, and none of them is readable
    /// before that; without, they survive the end of the process but maybe not of the machine, and what a crash
    /// leaves is a prefix of the commits.
    ///
    /// # Errors
    /// [`StorageError`].
    fn commit(&self, batches: &[Batch], sync: bool) -> Result<(), StorageError>;

    /// Puts every commit so far on the device.
    ///
    /// # Errors
    /// [`StorageError`].
    fn sync(&self) -> Result<(), StorageError>;

    /// The space in use, in bytes; an estimate.
    fn size_bytes(&self) -> u64;
}

/// Refuses batches with a row name that cannot be stored, or with log records that no row holds, before anything of them
/// is stored.
///
/// # Errors
/// [`StorageError::Io`] naming the length.
pub(crate) fn check_batches(batches: &[Batch]) -> Result<(), StorageError> {
    if batches.iter().any(|batch| !batch.log.is_empty()) {
        return Err(StorageError::Io("log records were not sealed into a segment".to_owned()));
    }
    let lengths = batches.iter().flat_map(|batch| batch.rows.iter().map(|(name, _)| name.len()));
    for length in lengths {
        if length == 0 || length > ROW_NAME_BYTES_MAX {
            let text = format!("a row name has {length} bytes; 1 to {ROW_NAME_BYTES_MAX} can be stored");
            return Err(StorageError::Io(text));
        }
    }
    Ok(())
}
