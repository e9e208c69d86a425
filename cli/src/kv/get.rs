//! `settle get`: reads a key.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hyper::StatusCode;
use serde_json::json;
use settle_wire::http::kv::{self, Options, RECEIPT};
use settle_wire::http::{Base, Response};

use super::key::{Key, KeyArgs};
use super::siblings::{self, Sibling};
use super::{Manner, context, remember};
use crate::client::Servers;
use crate::outcome::{conclude, say};
use crate::terminal;

/// What to read.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    manner: Manner,
    /// What this very node holds: no other is asked, nothing is repaired.
    #[arg(long, conflicts_with = "level")]
    replica_self: bool,
    /// Print a document: values in base64 with their content types, and the key's context.
    #[arg(long)]
    json: bool,
}

/// Writes the value to standard output as it is. A key with concurrent values has no single one: they are
/// listed, and the exit code is 1, unless `--json` asked for whatever there is.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("get", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let manner = &arguments.manner;
    let key = arguments.key.key()?;
    let contexts = manner.contexts(&key)?;
    let options = Options { own_replica: arguments.replica_self, ..manner.options(None) };
    let call = kv::get(&key.bucket, &key.bytes, &options, manner.wait());
    let node = servers.api();
    let failed = || format!("cannot read {key}");
    let response = node.send(&call).await.with_context(failed)?;
    // That there is no value can be built upon, too.
    remember(contexts, &response.headers)?;
    match response.status {
        StatusCode::OK | StatusCode::MULTIPLE_CHOICES if arguments.json => document(&key, &response),
        StatusCode::OK => value(&response),
        StatusCode::MULTIPLE_CHOICES => several(&key, &servers.api, &response),
        _ => Err(node.refused(&call, &response)).with_context(failed),
    }
}

/// The bytes as they were put; a prompt should not stand behind them.
fn value(response: &Response) -> Result<ExitCode> {
    terminal::put(&response.body)?;
    if std::io::stdout().is_terminal() && !response.body.ends_with(b"\n") {
        terminal::put(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn several(key: &Key, node: &Base, response: &Response) -> Result<ExitCode> {
    let siblings = siblings::parse(&response.body).with_context(|| format!("{node}: cannot read {key}"))?;
    terminal::print(&siblings::table(&siblings)?)?;
    let text = format!(
        "{key} has {} concurrent values; --json prints them whole\n  to settle them: `settle get --context-file \
         FILE ...`, then `settle put --context-file FILE ...` with the value that it should have",
        siblings.len()
    );
    say("get", &text);
    Ok(ExitCode::FAILURE)
}

/// One form for one value and for several.
fn document(key: &Key, response: &Response) -> Result<ExitCode> {
    let siblings = if response.status == StatusCode::OK {
        vec![Sibling::new(&response.body, response.header("content-type").unwrap_or_default())]
    } else {
        siblings::parse(&response.body).with_context(|| format!("cannot read {key}"))?
    };
    terminal::print_json(&json!({
        "bucket": key.bucket,
        "key": key.encoded(),
        "siblings": siblings,
        "context": context(response),
        "receipt": response.header(RECEIPT.as_str()),
    }))?;
    Ok(ExitCode::SUCCESS)
}
