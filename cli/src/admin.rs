//! Asking a node about itself and its cluster: the operator's commands.

pub mod barrier;
pub mod drain;
mod generic;
pub mod lag;
pub mod layout;
pub mod members;
pub mod repair;
pub mod status;

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use settle_wire::http::kv::percent_encode;
use settle_wire::http::{Call, Method};

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

/// A POST of a document, or of nothing.
fn post(path: &str, body: Option<&Value>) -> Call {
    let mut call = Call { method: Method::POST, ..Call::get(path, DEADLINE) };
    if let Some(body) = body {
        call.body = body.to_string().into();
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    call
}

/// The path of something that a node has given a name or a number. Unless `wait` is none, it is asked to
/// answer only when that is done, or after so long.
fn path_of(collection: &str, id: &Value, wait: Duration) -> String {
    let mut path = format!("{collection}/");
    match id {
        Value::String(id) => percent_encode(id.as_bytes(), &mut path),
        other => path += &other.to_string(),
    }
    let milliseconds = wait.as_millis();
    if milliseconds > 0 {
        path += &format!("?wait={milliseconds}ms");
    }
    path
}
