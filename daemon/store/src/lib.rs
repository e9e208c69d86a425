//! Crash-safe storage: the engine behind the daemon, the committer that groups its writes, and the disk that the
//! simulator uses in its place.
//!
//! [`DataDir::open`] is the way in: it locks a node's directory, proves that it is this node's and whole, and hands
//! out the [`Engine`] with a fresh epoch. [`Engine`] and [`SimDisk`] pass one contract suite (`tests/it/contract.rs`).

mod committer;
mod data_dir;
mod disk;
mod engine;
mod sim_disk;

pub use committer::{Committed, Committer, Durability, Refused};
pub use data_dir::{DataDir, Expected, Identity, OpenError, Start};
pub use disk::Disk;
pub use engine::Engine;
pub use sim_disk::SimDisk;
