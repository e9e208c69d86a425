//! Asking a node about itself and its cluster: the operator's commands.

pub mod lag;
pub mod members;
pub mod status;

use std::time::Duration;

use serde_json::Value;

use crate::client::{CallError, Servers};

/// How long a node may take to tell of itself.
const DEADLINE: Duration = Duration::from_secs(10);

/// How to print.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Form {
    /// Print a document for programs.
    #[arg(long)]
    json: bool,
}

/// A document of the node's own.
async fn document(servers: &Servers, path: &str) -> Result<Value, CallError> {
    servers.admin().get(path, DEADLINE).await
}
