//! `settle-sidecar`: a table of contents.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use settle_service::console::{fail, say};
use settle_service::shutdown::Shutdown;
use settle_service::telemetry::{self, Identity, Telemetry};
use settle_sidecar::{Config, PROGRAM, Sidecar};

/// How long the tasks may take to end.
const DRAIN_DEADLINE: Duration = Duration::from_secs(8);

/// The sidecar waits for answers most of the time; more threads would only wake each other.
const THREADS: usize = 2;

/// The auditor beside a Settle replica.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Cli {
    /// Configuration file, .toml or .yaml; without it the built-in defaults and the environment hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
    /// Print the default configuration, commented, and exit.
    #[arg(long)]
    print_default_config: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.print_default_config {
        return say(&Config::default_text());
    }
    let config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => return fail(PROGRAM, &errors),
    };
    if cli.check_config {
        return say("the configuration is valid\n");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(config, cli.config)),
        Err(error) => fail(PROGRAM, &error),
    }
}

async fn run(config: Config, file: Option<PathBuf>) -> ExitCode {
    let telemetry = match telemetry::init(&config.telemetry, &identity(&config)) {
        Ok(telemetry) => Arc::new(telemetry),
        Err(error) => return fail(PROGRAM, &error),
    };
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return fail(PROGRAM, &error),
    };
    let level = Arc::clone(&telemetry);
    let applied = move |config: &Config| set_level(&level, &config.telemetry.log);
    let sidecar = match Sidecar::start(config, file, shutdown.clone(), applied).await {
        Ok(sidecar) => sidecar,
        Err(error) => return fail(PROGRAM, &error),
    };
    shutdown.wait().await;
    let late = sidecar.drain(DRAIN_DEADLINE).await;
    if let Some(telemetry) = Arc::into_inner(telemetry) {
        telemetry.shutdown().await;
    }
    if late.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn identity(config: &Config) -> Identity {
    Identity {
        program: PROGRAM.to_owned(),
        instance: config.boot.name.as_ref().map_or_else(String::new, ToString::to_string),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn set_level(telemetry: &Telemetry, log: &str) {
    if let Err(error) = telemetry.set_level(log) {
        tracing::error!(%error, "log level stays");
    }
}
