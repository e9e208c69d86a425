//! Why a call failed, told apart as far as a caller can act on it.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;

use super::Base;

/// How much of an unexpected reply is quoted, in characters.
const QUOTED_CHARS_MAX: usize = 200;

/// A call that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{base}: {failure}")]
pub struct HttpError {
    /// Who was called.
    pub base: Base,
    /// Why it failed.
    pub failure: Failure,
    /// When the request was handed to the socket: from then on the server may have taken it. `None`: it has not.
    pub sent: Option<Instant>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No connection for another reason: no such host, no route, no answer.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Connected, but no whole reply in time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    /// The connection ended before the reply did.
    #[error("the connection closed before the reply was complete: {0}")]
    Closed(String),
    /// The reply is not HTTP.
    #[error("the reply is not HTTP: {0}")]
    Nonsense(String),
    /// The reply's body exceeds the client's limit, in bytes.
    #[error("the reply exceeds {0} bytes")]
    TooLong(usize),
    /// The call's path is not one. Nothing was sent.
    #[error("{0:?} is not a path")]
    BadPath(String),
    /// A typed call got another status than success.
    #[error("status {status}: {text}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of the reply's body.
        text: String,
    },
    /// A typed call got a document of another form.
    #[error("unexpected document: {0}")]
    Json(String),
}

impl Failure {
    pub(super) fn of(error: &hyper::Error) -> Self {
        let cause = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        if error.is_parse() { Self::Nonsense(cause) } else { Self::Closed(cause) }
    }

    pub(super) fn timeout(after: Duration, sent: Option<Instant>) -> Self {
        match sent {
            Some(_) => Self::Timeout(after),
            None => Self::Unreachable(format!("no connection within {after:?}")),
        }
    }

    pub(super) fn connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset => Self::Closed(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }

    pub(super) fn status(status: StatusCode, body: &Bytes) -> Self {
        let text = String::from_utf8_lossy(body).chars().take(QUOTED_CHARS_MAX).collect();
        Self::Status { status, text }
    }
}
