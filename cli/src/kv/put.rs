//! `settle put`: writes a value.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use settle_wire::http::kv;

use super::key::KeyArgs;
use super::{Manner, remember, remember_refused, source};
use crate::client::Servers;
use crate::outcome::conclude;

/// What to write, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// The value; "-" takes it from standard input, "@FILE" from a file.
    #[arg(allow_negative_numbers = true)]
    value: OsString,
    /// The value is what stands there, also when it is "-" or begins with "@".
    #[arg(long)]
    literal: bool,
    /// What the value is, such as "application/json"; told to whoever reads it. [default: any bytes]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<HeaderValue>,
    #[command(flatten)]
    manner: Manner,
}

/// Writes the value, and says nothing when it is written.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("put", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let Args { value, manner, .. } = arguments;
    let key = arguments.key.key()?;
    let contexts = manner.contexts(&key)?;
    let value = if arguments.literal { source::literal(value) } else { source::read(value)? };
    let options = manner.options(contexts.as_ref());
    let mut call = kv::put(&key.bucket, &key.bytes, value, &options, manner.wait());
    if let Some(content_type) = &arguments.content_type {
        call.headers.insert(CONTENT_TYPE, content_type.clone());
    }
    let node = servers.api();
    let failed = || format!("cannot write {key}");
    let response = node.send(&call).await.with_context(failed)?;
    if response.status.is_success() {
        remember(contexts, &response.headers).context("the value is written")?;
        return Ok(ExitCode::SUCCESS);
    }
    remember_refused("put", contexts, &response.headers);
    Err(node.refused(&call, &response)).with_context(failed)
}
