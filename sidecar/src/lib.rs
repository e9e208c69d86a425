//! `settle-sidecar`, the auditor beside a replica: it trusts nothing that the replica says about
//! itself, writes canaries through it, reads them back at every peer on one clock, and exports lag,
//! visibility, convergence, staleness and conflicts against configurable thresholds.

mod clock;
pub mod config;
mod metrics;
mod page;
mod prober;
mod serve;
mod sidecar;
mod target;
mod traffic;
pub mod verdict;
mod window;

pub use config::Config;
pub use sidecar::{Sidecar, StartError};

/// The program's name in metrics, traces and logs.
pub const PROGRAM: &str = "settle-sidecar";

/// The revision it was built from, where the build says so.
pub const REVISION: &str = match option_env!("SETTLE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
