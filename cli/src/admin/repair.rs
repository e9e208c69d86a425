//! `settle repair`: has a node compare all it holds with its peers, and mend what differs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{DEADLINE, Form, generic, path_of, post};
use crate::client::Servers;
use crate::outcome::conclude;
use crate::terminal::{self, Progress};

/// How often to ask how far it is.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// What to print, and when.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Start it and do not wait for its end.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    form: Form,
}

/// Starts a repair and follows it to its end; it goes on when nobody follows.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("repair", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let node = servers.admin();
    let mut repair: Value = node.document(&post("/v1/repair", None)).await?;
    let id = repair.get("repair").cloned().unwrap_or_default();
    let mut progress = Progress::new();
    while !arguments.no_wait && !is_done(&repair) {
        let next = Instant::now() + ASK_INTERVAL;
        repair = node.get(&path_of("/v1/repair", &id, ASK_INTERVAL), ASK_INTERVAL + DEADLINE).await?;
        progress.show(&generic::summary(&repair));
        if !is_done(&repair) {
            sleep_until(next).await;
        }
    }
    drop(progress);
    if arguments.form.json {
        terminal::print_json(&repair)?;
    } else {
        terminal::print(&generic::lines(&repair))?;
    }
    let failed = repair.get("error").is_some_and(|error| !error.is_null());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_done(repair: &Value) -> bool {
    repair.get("done") == Some(&Value::Bool(true))
}
