//! `settle drain`: moves everything off a node.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Form, generic, post};
use crate::client::Servers;
use crate::outcome::conclude;
use crate::terminal::{self, harmless};

/// Which node.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The node's name, as `settle members` shows it.
    node: String,
    #[command(flatten)]
    form: Form,
}

/// Stages and applies a layout without the node; what it held moves to the others from then on.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("drain", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let call = post("/v1/layout", Some(&json!({ "drain": arguments.node })));
    let answer = servers.admin().document::<Value>(&call).await;
    let layout = answer.with_context(|| format!("cannot drain {}", harmless(&arguments.node)))?;
    if arguments.form.json {
        terminal::print_json(&layout)?;
    } else {
        terminal::print(&generic::lines(&layout))?;
    }
    Ok(ExitCode::SUCCESS)
}
