//! Why a data directory was not opened.

use std::io;
use std::path::{Path, PathBuf};

use settle_core::storage::StorageError;

/// Why a data directory was not opened: what was found, what was expected, what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory {} is in use by another process; stop that one, or give this node another data directory",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The path names something else.
    #[error("{} is not a directory; name a directory, or a path that does not exist yet", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It holds files, but no node's identity.
    #[error(
        "{} holds {found:?} but no node's identity, so it is no data directory of settle, or a part of one; \
         name an empty directory, or put the whole data directory back; nothing was changed",
        path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// It belongs to another node, another cluster, or one with another number of partitions.
    #[error(
        "the data directory {} has {what} {found}, the configuration says {expected}; correct the configuration, \
         or name the directory that belongs to it; nothing was changed",
        path.display()
    )]
    Mismatch {
        /// The directory.
        path: PathBuf,
        /// What differs: `node.name`, `cluster.name` or `cluster.partitions`.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// A newer program wrote it.
    #[error(
        "the data directory {} has format {found}, this program reads up to {newest}; start the newer program \
         that wrote it; nothing was changed",
        path.display()
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u8,
        /// The newest format that is known here.
        newest: u8,
    },
    /// It is not as it was written.
    #[error(
        "the data directory {} is damaged: {what}; restore it whole, or move it away and start with an empty one: \
         the node then comes back under a new identity and its replicas fill it",
        path.display()
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}: {source}; check its owner, its permissions and the disk", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The engine could not be opened, for another reason than damage.
    #[error("cannot open the engine in the data directory {}: {source}; check the disk", path.display())]
    Engine {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
}

/// An [`OpenError::Io`] for `map_err`.
pub(super) fn io_failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, doing, source }
}
