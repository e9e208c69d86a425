//! `settle drain`: moves everything off a node.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::layout::{Layout, change, lines};
use super::{Form, document};
use crate::client::Servers;
use crate::outcome::{conclude, say};
use crate::terminal::{self, Line, Progress, harmless};

/// The pause between two looks at how far it is.
const PAUSE: Duration = Duration::from_millis(500);

/// Which node.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The node's name, as `settle members` shows it.
    node: String,
    /// Waits until the node holds nothing any more; then it can be stopped.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    form: Form,
}

/// Stages and applies a layout without the node; what it held moves to the others from then on.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("drain", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let begun = Instant::now();
    let mut layout = change(servers, "drain", &arguments.node).await?;
    if arguments.wait {
        layout = wait(arguments, servers).await?;
    }
    if arguments.form.json {
        terminal::print_json(&layout)?;
    } else if arguments.wait {
        let (node, seconds) = (harmless(&arguments.node), begun.elapsed().as_secs());
        let text = format!("{node} holds nothing any more, after {seconds} s: it can be stopped");
        terminal::print(&[Line::plain(text)])?;
        say("drain", &format!("then: settle layout --remove {node}"));
    } else {
        terminal::print(&lines(&layout)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the node holds nothing and nothing changes; until it is interrupted, if need be.
async fn wait(arguments: &Args, servers: &Servers) -> Result<Value> {
    let mut progress = Progress::new();
    loop {
        let document = document(servers, "/v1/layout").await?;
        let layout = Layout::deserialize(&document).context("/v1/layout is not as expected")?;
        match &layout.change {
            None if layout.held(&arguments.node).unwrap_or_default() == 0 => return Ok(document),
            None => {}
            Some(change) => progress.show(&change.line().text),
        }
        sleep(PAUSE).await;
    }
}
