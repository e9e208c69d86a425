//! `settle`: the operator's and user's command line. A table of contents: every command is a module
//! of the library.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use settle::admin::{barrier, drain, lag, layout, members, repair, status};
use settle::client::Servers;
use settle::kv::{delete, get, put};
use settle::{bench, completions, demo, leash};

/// Work with a Settle cluster.
///
/// The exit code is 0 when it is done, 1 when it failed or was not found, 2 when it was asked for wrongly.
#[derive(Debug, Parser)]
#[command(name = "settle", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    servers: Servers,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a key: its value, as it is, on standard output.
    ///
    /// A key with concurrent values has no single one: they are listed, and the exit code is 1; with
    /// --json it is 0, for the document has them all.
    Get(get::Args),
    /// Write a value.
    Put(put::Args),
    /// Delete a key.
    Delete(delete::Args),
    /// How one node is: ready or not and why, what it holds, its peers, its lag.
    ///
    /// The exit code says whether it answered, not whether it is well; for that, ask its /readyz.
    Status(status::Args),
    /// Who belongs to the cluster, and who of them is up.
    Members(members::Args),
    /// How far a node is behind each of its peers, and they behind it.
    Lag(lag::Args),
    /// Wait until everything written so far is on every replica.
    Barrier(barrier::Args),
    /// Compare this node's data with its peers', key by key where they differ, and mend it.
    Repair(repair::Args),
    /// Which nodes hold which share of the data, and how far a change of that is.
    Layout(layout::Args),
    /// Move everything off a node, so that it can be taken out of the cluster.
    Drain(drain::Args),
    /// Watch replicas on this machine converge under real traffic, measured by a sidecar.
    Demo(demo::Args),
    /// Compare three local nodes with three nodes of etcd: throughput, latency, CPU per operation.
    Bench(bench::Args),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::Args),
    /// Become another program that ends when the one that started it does.
    #[command(hide = true)]
    Leashed(leash::Args),
}

fn main() -> ExitCode {
    let Cli { command, servers } = Cli::parse();
    match command {
        Command::Get(arguments) => get::main(&arguments, &servers),
        Command::Put(arguments) => put::main(&arguments, &servers),
        Command::Delete(arguments) => delete::main(&arguments, &servers),
        Command::Status(arguments) => status::main(&arguments, &servers),
        Command::Members(arguments) => members::main(&arguments, &servers),
        Command::Lag(arguments) => lag::main(&arguments, &servers),
        Command::Barrier(arguments) => barrier::main(&arguments, &servers),
        Command::Repair(arguments) => repair::main(&arguments, &servers),
        Command::Layout(arguments) => layout::main(&arguments, &servers),
        Command::Drain(arguments) => drain::main(&arguments, &servers),
        Command::Demo(arguments) => demo::main(&arguments),
        Command::Bench(arguments) => bench::main(&arguments),
        Command::Completions(arguments) => completions::main(&arguments, Cli::command()),
        Command::Leashed(arguments) => leash::main(&arguments),
    }
}
