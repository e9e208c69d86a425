//! `settle demo`: real nodes and a sidecar on this machine, real traffic, and a live table of what the
//! sidecar measures. Everything is temporary: processes and data are gone when it ends, however it does.

mod agreement;
mod chaos;
mod cluster;
mod course;
mod schedule;
mod screen;
mod signals;
mod state;
mod table;
mod traffic;
mod verdict;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use course::Ended;

/// What to start, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Replicas; the sidecar is beside the first.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,
    /// Client operations per second, over all connections.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How long to run, such as "20s". [default: until Ctrl-C]
    #[arg(long, value_parser = settle_service::config::parse_duration)]
    duration: Option<Duration>,
    /// Stop, kill and restart one replica after the other.
    #[arg(long)]
    chaos: bool,
    /// Makes --chaos do the same again. [default: a new one, which is printed]
    #[arg(long, requires = "chaos")]
    seed: Option<u64>,
}

/// Runs the demo and says by the exit code how it went: 0 when every canary converged (with `--chaos`:
/// when everything converged again after the last disturbance) and all replicas hold the same; 1 when not, when nothing was measured,
/// or when a process failed; 128 and the signal's number when a signal ended it before a verdict.
#[must_use]
pub fn main(arguments: &Args) -> ExitCode {
    match run(arguments) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        Ok(Ended::By(signal)) => ExitCode::from(signal.exit_code()),
        Err(error) => {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "settle demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread is enough for the clients and leaves the others to the servers.
fn run(arguments: &Args) -> Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(Box::pin(course::run(arguments)))
}
