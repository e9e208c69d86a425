//! `settled`: reads its configuration, runs the node until a signal, and says in its exit code how it ended.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use settle_daemon::config::Config;
use settle_daemon::start;
use settle_service::console::{fail, say};
use settle_service::shutdown::Shutdown;
use settle_service::telemetry;
use tokio::signal::unix::{SignalKind, signal};

/// Its name in messages and traces.
const PROGRAM: &str = "settled";

/// The Settle replica daemon.
#[derive(Debug, Parser)]
#[command(name = "settled", version)]
struct Arguments {
    /// The configuration file, .toml, .yaml or .yml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Checks the configuration and exits.
    #[arg(long)]
    check_config: bool,
    /// Prints every key with its default and exits.
    #[arg(long)]
    print_default_config: bool,
}

/// Values are allocated on one thread and freed on another, at which it is a good deal faster than the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_default_config {
        return say(&Config::default_text());
    }
    let config = match Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => return fail(PROGRAM, &errors),
    };
    if arguments.check_config {
        return say("the configuration is valid\n");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(PROGRAM, &error),
    };
    let code = runtime.block_on(run(config, arguments.config));
    // Reading tasks may be in the middle of a disk access; the process need not wait for them.
    runtime.shutdown_background();
    code
}

async fn run(config: Config, file: Option<PathBuf>) -> ExitCode {
    let settings = config.telemetry();
    let identity = telemetry::Identity {
        program: PROGRAM.to_owned(),
        instance: config.boot.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let telemetry = match telemetry::init(&settings, &identity) {
        Ok(telemetry) => Arc::new(telemetry),
        Err(error) => return fail(PROGRAM, &error),
    };
    // Taken from the start: until the configuration is watched, a SIGHUP would end the process.
    let _hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return fail(PROGRAM, &error),
    };
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return fail(PROGRAM, &error),
    };
    let ended = start::run(config, file, &telemetry, shutdown).await;
    if let Some(telemetry) = Arc::into_inner(telemetry) {
        telemetry.shutdown().await;
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(PROGRAM, &error),
    }
}
