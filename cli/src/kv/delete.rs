//! `settle delete`: removes a key.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use settle_wire::http::kv;

use super::key::KeyArgs;
use super::{Manner, remember, remember_refused};
use crate::client::Servers;
use crate::outcome::conclude;

/// What to delete.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    manner: Manner,
}

/// Deletes the key, and says nothing when it is gone, or was never there.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("delete", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let manner = &arguments.manner;
    let key = arguments.key.key()?;
    let contexts = manner.contexts(&key)?;
    let call = kv::delete(&key.bucket, &key.bytes, &manner.options(contexts.as_ref()), manner.wait());
    let node = servers.api();
    let failed = || format!("cannot delete {key}");
    let response = node.send(&call).await.with_context(failed)?;
    if response.status.is_success() {
        remember(contexts, &response.headers).context("the key is deleted")?;
        return Ok(ExitCode::SUCCESS);
    }
    remember_refused("delete", contexts, &response.headers);
    Err(node.refused(&call, &response)).with_context(failed)
}
