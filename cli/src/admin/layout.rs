//! `settle layout`: which nodes hold which share of the data.

use std::process::ExitCode;

use anyhow::Result;

use super::{Form, document, generic};
use crate::client::Servers;
use crate::outcome::conclude;
use crate::terminal;

/// What to print.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    form: Form,
}

/// Prints the layout as the node that is asked knows it.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("layout", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let layout = document(servers, "/v1/layout").await?;
    if arguments.form.json {
        terminal::print_json(&layout)?;
    } else {
        terminal::print(&generic::lines(&layout))?;
    }
    Ok(ExitCode::SUCCESS)
}
