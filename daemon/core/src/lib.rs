//! The replication kernel of Settle, sans-I/O.
//!
//! Nothing in this crate reads a clock, draws a random number, opens a file or a socket: time and identity are
//! arguments, stored rows are read through [`storage::Rows`], and every change is collected in a
//! [`storage::Batch`] that the caller makes durable. That is why one seed replays a whole cluster in the
//! simulator, and why the daemon and the simulator run the same code.
//!
//! Reading order: [`dot`] and [`clock`] (the names of writes and sets of them), [`entry`] (what a key holds, and
//! the merge laws), [`partition`] (one replica of one slice of the data: writing, applying, exchanging, proving
//! freshness), [`reading`] (what several replicas hold together), [`value`] (what entries mean to clients).

pub mod clock;
pub mod codec;
pub mod context;
pub mod dot;
pub mod entry;
pub mod hlc;
pub mod key;
pub mod layout;
pub mod level;
pub mod merkle;
pub mod partition;
pub mod placement;
pub mod plant;
pub mod reading;
pub mod roster;
pub mod segment;
pub mod storage;
pub mod value;
