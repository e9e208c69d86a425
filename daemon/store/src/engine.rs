//! The engine: fjall, an LSM tree with a journal, set up for one writer, little memory and no surprises.
//!
//! What its sources say and this module relies on or works around (fjall 3.1.13):
//! - A commit appends to the journal, syncs, and only then inserts into the memtable: nothing unsynced is readable.
//! - Its own reads take no snapshot and may see half of a batch that is being inserted; ours open one.
//! - Its backpressure sleeps in the writer until its worker has caught up, without noticing that the worker died;
//!   [`Engine::make_room`] keeps below its thresholds and notices.
//! - With several workers one of them spins while another compacts; there is one here. It blocks when idle.
//! - An active memtable grows without limit while that worker is busy; the writer seals it itself.
//! - `Keyspace::clear` wedges the journal: never called.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fjall::compaction::Leveled;
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable,
};
use settle_core::storage::{Batch, Rows, StorageError};

use crate::disk::{Disk, check_batches};
use error::storage_error;

mod error;
pub(crate) mod journal;
pub(crate) mod manifest;

/// The one keyspace; rows carry their table's byte in front.
const KEYSPACE: &str = "rows";
/// A memtable is written out at this size. Together with [`SEALED_MAX`] it bounds the memory of unwritten rows.
const MEMTABLE_BYTES_MAX: u64 = 4 << 20;
/// Writes wait while this many full memtables are not on disk yet; fjall itself would wait, blindly, at 4.
const SEALED_MAX: usize = 3;
/// Writes wait while this many tables overlap each other on the first level; fjall slows down at 20.
const OVERLAPPING_TABLES_MAX: usize = 18;
/// How often a waiting writer looks again: a flush takes tens of milliseconds.
const ROOM_POLL: Duration = Duration::from_millis(2);
/// So many tables gather on the first level before they are merged: half the merging of the default, which costs
/// more than the reads gain.
const FIRST_LEVEL_TABLES: u8 = 8;
/// Tables of this size keep a compaction, which holds flushes up, short.
const TABLE_BYTES: u64 = 16 << 20;
/// The least that fjall allows; it bounds the replay at a start.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// Open files kept for reading.
const OPEN_FILES_MAX: usize = 128;

/// A node's rows on disk. Holds the lock of its data directory until it is dropped.
pub struct Engine {
    // In this order: handles before the database, the database before the lock that guards it.
    rows: Keyspace,
    database: Database,
    path: PathBuf,
    _lock: File,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens or creates the engine's files in `path`; `lock` is kept as long as the engine.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) fn open(path: &Path, cache_bytes: u64, lock: File) -> Result<Self, StorageError> {
        let database = Database::builder(path)
            .worker_threads(1)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .journal_compression(CompressionType::None)
            .open()
            .map_err(storage_error)?;
        // Written into the directory when it is created; a later change here reaches new directories only.
        let options = || {
            let merging =
                Leveled::default().with_l0_threshold(FIRST_LEVEL_TABLES).with_table_target_size(TABLE_BYTES);
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES_MAX)
                .compaction_strategy(Arc::new(merging))
        };
        let rows = database.keyspace(KEYSPACE, options).map_err(storage_error)?;
        Ok(Self { rows, database, path: path.to_owned(), _lock: lock })
    }

    /// Seals a full memtable, and waits while too much is not written out yet.
    fn make_room(&self) -> Result<(), StorageError> {
        if self.rows.tree.active_memtable().size() >= MEMTABLE_BYTES_MAX {
            self.rows.rotate_memtable().map_err(storage_error)?;
        }
        while self.rows.sealed_memtable_count() >= SEALED_MAX
            || self.rows.tree.l0_run_count() >= OVERLAPPING_TABLES_MAX
        {
            // Writes nothing, but fails when the worker has.
            self.database.persist(PersistMode::Buffer).map_err(storage_error)?;
            thread::sleep(ROOM_POLL);
        }
        Ok(())
    }
}

impl Rows for Engine {
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let found = self.database.snapshot().get(&self.rows, row).map_err(storage_error)?;
        Ok(found.map(Bytes::from))
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if from >= to {
            return Ok(());
        }
        for row in self.database.snapshot().range(&self.rows, from..to) {
            let (name, value) = row.into_inner().map_err(storage_error)?;
            if visit(&name, Bytes::from(value)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Disk for Engine {
    fn commit(&self, batches: &[Batch], sync: bool) -> Result<(), StorageError> {
        check_batches(batches)?;
        let rows = batches.iter().map(|batch| batch.rows.len()).sum();
        if rows == 0 {
            return if sync { self.sync() } else { Ok(()) };
        }
        self.make_room()?;
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut write = OwnedWriteBatch::with_capacity(self.database.clone(), rows).durability(Some(mode));
        // The memtable keeps what it is given. Names and values that are slices of a network frame would keep the
        // whole frame alive, so all are copied, into one allocation for the group.
        let mut arena = BytesMut::with_capacity(batches.iter().map(Batch::size_bytes).sum());
        for (name, value) in batches.iter().flat_map(|batch| &batch.rows) {
            let name = copy(&mut arena, name);
            match value {
                Some(value) => write.insert(&self.rows, name, copy(&mut arena, value)),
                None => write.remove(&self.rows, name),
            }
        }
        write.commit().map_err(storage_error)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.database.persist(PersistMode::SyncData).map_err(storage_error)
    }

    fn size_bytes(&self) -> u64 {
        // Counted in blocks, since the journal is a sparse file; files that vanish meanwhile count as nothing.
        disk_use(&self.path).unwrap_or(0)
    }
}

fn copy(arena: &mut BytesMut, bytes: &[u8]) -> Bytes {
    arena.extend_from_slice(bytes);
    arena.split().freeze()
}

fn disk_use(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_use(&entry.path()).unwrap_or(0),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        };
    }
    Ok(bytes)
}
