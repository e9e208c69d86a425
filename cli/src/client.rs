//! Calls to one node, and what came of them in words.

mod problem;

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use settle_wire::http::{Base, Call, Client, ClientLimits, Failure, HttpError, Method, Response};

use problem::Problem;

/// Where the node listens that is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct Servers {
    /// Where a node takes reads and writes.
    #[arg(
        long,
        global = true,
        env = "SETTLE_API",
        value_name = "URL",
        default_value = "http://127.0.0.1:7400",
        help_heading = "Node to ask"
    )]
    pub(crate) api: Base,
    /// Where a node answers operators.
    #[arg(
        long,
        global = true,
        env = "SETTLE_ADMIN",
        value_name = "URL",
        default_value = "http://127.0.0.1:7402",
        help_heading = "Node to ask"
    )]
    pub(crate) admin: Base,
}

/// One of a node's two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// For clients.
    Api,
    /// For operators.
    Admin,
}

/// A node to call.
#[derive(Debug)]
pub(crate) struct Node {
    client: Client,
    base: Base,
    door: Door,
}

/// A call without the answer that it was for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No whole reply came.
    #[error("{error}{}", advice(error, *door, *changing))]
    NoReply {
        error: HttpError,
        door: Door,
        /// Whether the call was to change something.
        changing: bool,
    },
    /// The node said no.
    #[error("{base}: {problem}")]
    Refused { base: Base, problem: Problem },
    /// Nobody serves this path there.
    #[error(
        "this version of settled does not offer {call} (asked at {base}), or that is not {door} (--{}, {})",
        door.option(),
        door.variable()
    )]
    NotOffered { base: Base, call: String, door: Door },
    /// The reply is not what this version of the program understands.
    #[error("{base}: the reply to {call} is not as expected: {reason}")]
    Document { base: Base, call: String, reason: String },
}

impl Servers {
    /// The node, for clients' calls.
    pub(crate) fn api(&self) -> Node {
        Node::new(&self.api, Door::Api)
    }

    /// The node, for operators' calls.
    pub(crate) fn admin(&self) -> Node {
        Node::new(&self.admin, Door::Admin)
    }
}

impl Node {
    fn new(base: &Base, door: Door) -> Self {
        Self { client: Client::new(ClientLimits::default()), base: base.clone(), door }
    }

    /// The reply, whatever its status.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, CallError> {
        let changing = call.method != Method::GET;
        let sent = self.client.send(&self.base, call).await;
        sent.map_err(|error| CallError::NoReply { error, door: self.door, changing })
    }

    /// Why the node did not do what `call` asked for.
    pub(crate) fn refused(&self, call: &Call, response: &Response) -> CallError {
        let problem = Problem::of(response, call.method != Method::GET);
        let base = self.base.clone();
        if problem.is_no_such_call() {
            return CallError::NotOffered { base, call: name(call), door: self.door };
        }
        CallError::Refused { base, problem }
    }

    /// The document that a successful reply carries; an empty one is read as `null`.
    pub(crate) async fn document<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        let response = self.send(call).await?;
        if !response.status.is_success() {
            return Err(self.refused(call, &response));
        }
        let body: &[u8] = if response.body.is_empty() { b"null" } else { &response.body };
        serde_json::from_slice(body).map_err(|error| CallError::Document {
            base: self.base.clone(),
            call: name(call),
            reason: error.to_string(),
        })
    }

    /// GETs a document.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        self.document(&Call::get(path, deadline)).await
    }
}

impl Door {
    fn option(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Admin => "admin",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Api => "SETTLE_API",
            Self::Admin => "SETTLE_ADMIN",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "the API address of a node",
            Self::Admin => "the admin address of a node",
        })
    }
}

/// Method and path, without the query.
fn name(call: &Call) -> String {
    let path = call.path.split('?').next().unwrap_or_default();
    format!("{} {path}", call.method)
}

/// What to do about a missing reply, in lines of their own.
fn advice(error: &HttpError, door: Door, changing: bool) -> String {
    let mut advice = match error.failure {
        Failure::Refused | Failure::Unreachable(_) => format!(
            "\n  is settled running there? --{} URL or {} names another address",
            door.option(),
            door.variable()
        ),
        Failure::Timeout(_) => "\n  the node took the connection and does not answer".to_owned(),
        _ => String::new(),
    };
    if changing && error.sent.is_some() {
        advice += problem::MAY_TAKE_EFFECT;
    }
    advice
}

#[cfg(test)]
mod tests;
