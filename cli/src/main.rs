//! `settle`: the operator's and user's command line. A table of contents: every command is a module
//! of the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Work with a Settle cluster.
#[derive(Debug, Parser)]
#[command(name = "settle", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch replicas on this machine converge under real traffic, measured by a sidecar.
    Demo(settle::demo::Args),
    /// Compare three local nodes with three nodes of etcd: throughput, latency, CPU per operation.
    Bench(settle::bench::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(arguments) => settle::demo::main(&arguments),
        Command::Bench(arguments) => settle::bench::main(&arguments),
    }
}
