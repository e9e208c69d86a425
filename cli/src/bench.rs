//! `settle bench`: three nodes of Settle and three of etcd on this machine, under the same load in
//! alternating rounds of one run, so that a noisy machine treats both alike.
//!
//! Only one system is loaded at a time. The other keeps running idle: stopping it with a signal would
//! cost it its leader and let it elect a new one in the middle of a measurement. What it uses while
//! idle is part of the report.

mod cluster;
mod disk;
mod etcd;
mod grpc;
mod http;
mod load;
mod progress;
mod report;
mod rounds;
mod settle;
mod stats;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// What to measure, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rounds; in each one every operation runs once on every system.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Measured seconds of one operation on one system in one round.
    #[arg(long, default_value_t = 4.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of the same load before each measurement, not counted.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// Connections, spread evenly over the three nodes; each has one request under way at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Different keys; all are written once before the first round.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Size of a value in bytes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    value_bytes: u32,
    /// Operations to measure, one after the other in every round.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Operation::Write, Operation::Read])]
    operations: Vec<Operation>,
    /// Consistency level of Settle's writes; etcd's always need a majority.
    #[arg(long, default_value = "quorum")]
    level: String,
    /// Measure this system alone.
    #[arg(long, value_enum)]
    only: Option<System>,
    /// Where the temporary data directories go: a real disk, for the writes are durable. [default:
    /// the directory above this program's own, that is target/]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The daemon to measure. [default: `settled` beside this program]
    #[arg(long)]
    settled: Option<PathBuf>,
    /// The etcd to compare with. [default: the one on the PATH, or .tools/bin/etcd]
    #[arg(long)]
    etcd: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A system under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum System {
    Settle,
    Etcd,
}

/// What a connection asks for, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Operation {
    /// A durable write, acknowledged by a majority.
    Write,
    /// A read answered by the node asked alone: level `one`; etcd's "serializable".
    Read,
    /// A read that a majority vouches for: level `quorum`; etcd's "linearizable".
    StrongRead,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Etcd => "etcd",
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.1..=3600.0).contains(&value) => Ok(value),
        _ => Err("expected seconds between 0.1 and 3600".to_owned()),
    }
}

/// Runs the benchmark, prints its report and says by the exit code whether it is valid: 0 when it
/// is; 1 when a system did not start or too many operations failed; 130 after an interrupt.
#[must_use]
pub fn main(arguments: &Args) -> ExitCode {
    match run_until_interrupted(arguments) {
        Ok(Some(())) => ExitCode::SUCCESS,
        Ok(None) => {
            progress::say("interrupted: processes stopped, directories removed");
            ExitCode::from(130)
        }
        Err(error) => {
            progress::say(&format!("settle bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// `None` when a signal ended it. Dropping the run kills its processes and removes its directories.
fn run_until_interrupted(arguments: &Args) -> Result<Option<()>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads as usize)
        .enable_all()
        .build()
        .context("cannot start the load generator's threads")?;
    runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(rounds::run(arguments)) => outcome.map(Some),
            stopped = interrupted() => stopped.map(|()| None),
        }
    })
}

async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
