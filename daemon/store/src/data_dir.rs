//! A node's data directory: whose it is, which format it has, that one process at a time uses it.
//!
//! It holds `lock`, `identity` (see [`identity`]) and `engine/`. The identity is written first, without an epoch,
//! when a directory is born, and with one whenever it is opened; so an identity without an epoch says that the
//! engine's files were never used and may be made anew. The epoch is also a row of the engine: an engine whose
//! epoch is behind the identity's has lost writes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use settle_core::codec::{Decode, Encode};
use settle_core::dot::{Epoch, NodeId, Origin};
use settle_core::storage::{Batch, Rows, StorageError, Table};

use crate::disk::Disk;
use crate::engine::{Engine, journal, manifest};
pub use error::OpenError;
use error::io_failed;
use identity::Stored;

mod error;
mod identity;

const LOCK: &str = "lock";
const ENGINE: &str = "engine";
/// The row of [`Table::Node`] that names the node and its newest epoch.
const EPOCH_ROW: &[u8] = b"epoch";
/// The file by which the engine tells an old directory from a new one: without it, it starts empty.
const ENGINE_VERSION: &str = "version";
/// The engine's own tree and that of the rows; it would make a missing one anew, empty.
const ENGINE_TREES: [&str; 2] = ["keyspaces/0", "keyspaces/1"];

/// A node's data directory.
#[derive(Debug)]
pub struct DataDir;

/// Whose directory it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The node's stable name.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// The number of partitions that the cluster was born with.
    pub partitions: u32,
}

/// What a start brings from outside.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Random; the node's identity if the directory is new.
    pub random_node: u64,
    /// Random; distinguishes epochs of copies of one directory.
    pub random_epoch: u16,
}

/// Who a node is, and in which of its lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Minted with the directory.
    pub node_id: NodeId,
    /// The node's stable name.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// The number of partitions.
    pub partitions: u32,
    /// This start's epoch; on the device already.
    pub epoch: Epoch,
}

impl DataDir {
    /// Opens the data directory at `path`, making it if it is missing or empty. `cache_bytes` bounds the memory for
    /// blocks read from disk.
    ///
    /// # Errors
    /// [`OpenError`]; it says what to do, and nothing was changed unless the device itself failed.
    pub fn open(
        path: &Path,
        expected: &Expected,
        start: Start,
        cache_bytes: u64,
    ) -> Result<(Engine, Identity), OpenError> {
        let lock = claim(path)?;
        let stored = identity::read(path)?;
        if let Some(stored) = &stored {
            stored.check(path, expected)?;
        }
        let engine_path = path.join(ENGINE);
        if stored.as_ref().is_some_and(|stored| stored.epoch.is_some()) {
            check_engine(path, &engine_path)?;
        } else {
            let newborn = Stored::newborn(NodeId(start.random_node), expected);
            identity::write(path, stored.as_ref().unwrap_or(&newborn))?;
            remove_engine(&engine_path)?;
        }
        let mut stored = stored.unwrap_or_else(|| Stored::newborn(NodeId(start.random_node), expected));
        let engine = open_engine(path, &engine_path, cache_bytes, lock)?;
        let epoch = begin_epoch(path, &engine, &stored, start)?;
        sync_directories(&engine_path)?;
        stored.epoch = Some(epoch);
        identity::write(path, &stored)?;
        let Stored { node_id, name, cluster, partitions, .. } = stored;
        Ok((engine, Identity { node_id, name, cluster, partitions, epoch }))
    }
}

/// Makes sure that `path` is a data directory or may become one, and locks it.
fn claim(path: &Path) -> Result<File, OpenError> {
    if let Ok(metadata) = fs::metadata(path) {
        if !metadata.is_dir() {
            return Err(OpenError::NotADirectory { path: path.to_owned() });
        }
        check_contents(path)?;
    } else {
        fs::create_dir_all(path).map_err(io_failed(path, "create the data directory"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))?;
    }
    let file = path.join(LOCK);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
    let lock = lock.map_err(io_failed(&file, "open the lock file"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_failed(&file, "lock the lock file")(source)),
    }
}

/// Refuses a directory without an identity that holds anything of somebody else's, or an engine.
fn check_contents(path: &Path) -> Result<(), OpenError> {
    let doing = "list the data directory";
    let entries = fs::read_dir(path).map_err(io_failed(path, doing))?;
    let mut stranger = None;
    for entry in entries {
        let name = entry.map_err(io_failed(path, doing))?.file_name();
        match name.to_str() {
            Some(identity::FILE) => return Ok(()),
            // File systems put lost+found into the root of a volume.
            Some(LOCK | identity::FILE_NEW | "lost+found") => {}
            _ => stranger = Some(name.to_string_lossy().into_owned()),
        }
    }
    match stranger {
        Some(found) => Err(OpenError::NotOurs { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

fn damaged(path: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), what: what.into() }
}

/// Looks, without changing anything, for damage that the engine would not notice or would make worse.
fn check_engine(path: &Path, engine: &Path) -> Result<(), OpenError> {
    let version = engine.join(ENGINE_VERSION);
    if !version.try_exists().map_err(io_failed(&version, "look for a file"))? {
        return Err(damaged(path, format!("{} is missing", version.display())));
    }
    for tree in ENGINE_TREES.map(|name| engine.join(name)) {
        let damage = manifest::damage(&tree).map_err(io_failed(&tree, "read the manifest"))?;
        if let Some(what) = damage {
            return Err(damaged(path, what));
        }
    }
    let journals = journal::list(engine).map_err(io_failed(engine, "list the journals"))?;
    if journals.is_empty() {
        return Err(damaged(path, format!("{} holds no journal", engine.display())));
    }
    for file in journals {
        let damage = journal::damage(&file).map_err(io_failed(&file, "read the journal"))?;
        if let Some(damage) = damage {
            return Err(damaged(path, damage.to_string()));
        }
    }
    Ok(())
}

/// Removes what an interrupted birth has left.
fn remove_engine(engine: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(engine) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_failed(engine, "remove a half-made engine")(error))
        }
        _ => Ok(()),
    }
}

fn open_engine(path: &Path, engine: &Path, cache_bytes: u64, lock: File) -> Result<Engine, OpenError> {
    // The engine asserts some of what it reads; a damaged file must not take the process down without a word.
    let opened = catch_unwind(AssertUnwindSafe(|| Engine::open(engine, cache_bytes, lock)));
    match opened {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(error)) => Err(engine_failed(path, error)),
        Err(_) => Err(damaged(path, "the engine found something that it never writes")),
    }
}

fn engine_failed(path: &Path, error: StorageError) -> OpenError {
    match error {
        StorageError::Corrupt(what) => damaged(path, what),
        error => OpenError::Engine { path: path.to_owned(), source: error },
    }
}

/// Mints this start's epoch and makes it durable in the engine.
fn begin_epoch(path: &Path, engine: &Engine, stored: &Stored, start: Start) -> Result<Epoch, OpenError> {
    let row = Table::Node.row(EPOCH_ROW);
    let found = engine.get(&row).map_err(|error| engine_failed(path, error))?;
    let found =
        found.map(Origin::from_bytes).transpose().map_err(|error| damaged(path, error.to_string()))?;
    if let Some(origin) = found.filter(|origin| origin.node != stored.node_id) {
        let what = format!("its engine belongs to node {}, its identity to {}", origin.node, stored.node_id);
        return Err(damaged(path, what));
    }
    let last = found.map(|origin| origin.epoch);
    if last < stored.epoch {
        return Err(damaged(path, "the engine is older than the identity: writes are missing"));
    }
    let epoch = Epoch::fresh(last, start.wall_ms, start.random_epoch);
    let mut batch = Batch::default();
    batch.put(row, Origin { node: stored.node_id, epoch }.to_bytes());
    engine.commit(&[batch], true).map_err(|error| engine_failed(path, error))?;
    Ok(epoch)
}

/// Makes the names of all files below `directory` durable, and its own.
fn sync_directories(directory: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(directory).map_err(io_failed(directory, "list a directory"))?;
    for entry in entries {
        let entry = entry.map_err(io_failed(directory, "list a directory"))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_directories(&entry.path())?;
        }
    }
    sync_directory(directory)
}

fn sync_directory(directory: &Path) -> Result<(), OpenError> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(io_failed(directory, "sync a directory"))
}

impl std::fmt::Display for journal::Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, offset, resumes } = self;
        let file: &PathBuf = file;
        write!(f, "the journal {} is unreadable from byte {offset} to {resumes}", file.display())
    }
}
