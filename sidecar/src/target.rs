//! What is probed: one module per kind of store.

mod placement;
mod settle;

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use settle_wire::http::{BadBase, Base, Failure, HttpError, Response, StatusCode};
use thiserror::Error;

pub(crate) use placement::Placement;
pub(crate) use settle::SettleTarget;

/// How much of the text of a refusal is quoted, in characters.
const REASON_CHARS_MAX: usize = 200;

/// The own replica, by the name that is its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) name: String,
    /// Where it takes reads and writes.
    pub(crate) api: Base,
}

/// Another replica, as the own one knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) name: String,
    /// Where it is read. A replica that cannot be reached yet is one all the same.
    pub(crate) api: Result<Base, NoAddress>,
}

/// Why a replica cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NoAddress {
    /// The own replica has not been in touch with it since it started.
    #[error("its address is not known yet; the own replica learns it when the two connect")]
    Unknown,
    /// It advertises something else.
    #[error("the API address that it advertises is wrong: {0}")]
    Wrong(#[from] BadBase),
}

/// The cluster as the own replica sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) cluster: String,
    pub(crate) own: Replica,
    /// The other replicas of the layout that hold some canary key, reachable or not.
    pub(crate) peers: Vec<Other>,
    /// Where canary keys lie.
    pub(crate) placement: Placement,
}

/// An answered read.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The value, if there is one.
    pub(crate) value: Option<Bytes>,
    /// Just before the request was sent.
    pub(crate) sent: Instant,
    /// When the whole answer was there.
    pub(crate) done: Instant,
}

/// Why a replica gave no usable answer.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    /// No answer at all, or not the expected document.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer with a status that says no, and the reason that it gives, which may be empty.
    #[error("{base}: status {status}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Refused { base: Base, status: StatusCode, reason: String },
    /// Another listener than the one that was meant.
    #[error("{base} is {what}")]
    WrongListener { base: Base, what: &'static str },
    /// An answer that makes no sense.
    #[error("{base}: {problem}")]
    Nonsense { base: Base, problem: &'static str },
}

/// What is wrong with a replica, as far as it is looked for in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symptom {
    /// No answer at all.
    Silence,
    /// An answer that says no.
    Refusal,
    /// An answer that cannot be understood.
    Nonsense,
    /// An answer of somebody else.
    WrongListener,
}

/// A problem document (RFC 9457), as far as it matters here.
#[derive(Debug, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

// === impl TargetError ===

impl TargetError {
    /// Whether the replica says that it does not hold the key.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::MISDIRECTED_REQUEST, .. })
    }

    /// Whether the target asks for less load.
    pub(crate) fn is_shedding(&self) -> bool {
        matches!(self, Self::Refused { status, .. }
            if *status == StatusCode::SERVICE_UNAVAILABLE || *status == StatusCode::TOO_MANY_REQUESTS)
    }

    fn refused(base: &Base, response: &Response) -> Self {
        Self::Refused { base: base.clone(), status: response.status, reason: reason(&response.body) }
    }

    /// What is wrong.
    pub(crate) fn symptom(&self) -> Symptom {
        match self {
            Self::Refused { .. } => Symptom::Refusal,
            Self::WrongListener { .. } => Symptom::WrongListener,
            Self::Nonsense { .. } => Symptom::Nonsense,
            Self::Http(error) => match error.failure {
                Failure::Status { .. } => Symptom::Refusal,
                Failure::Json(_) | Failure::Nonsense(_) | Failure::TooLong(_) => Symptom::Nonsense,
                Failure::Refused
                | Failure::Unreachable(_)
                | Failure::Timeout(_)
                | Failure::Closed(_)
                | Failure::BadPath(_) => Symptom::Silence,
            },
        }
    }
}

/// Why an answer says no, in its own words: those of a problem document, else the beginning of its text.
fn reason(body: &[u8]) -> String {
    let words = serde_json::from_slice(body).ok().and_then(|Problem { title, detail }| detail.or(title));
    let words = words.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    words.chars().take(REASON_CHARS_MAX).collect()
}

// === impl Symptom ===

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "does not answer",
            Self::Refusal => "refuses",
            Self::Nonsense => "gives an answer that is not understood",
            Self::WrongListener => "is asked at the wrong address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_given_in_the_replicas_own_words() {
        let refused = |reason: String| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            TargetError::Refused { base: "h:1".parse().unwrap(), status, reason }.to_string()
        };
        let said = refused(reason(br#"{"title": "Too few", "status": 503, "detail": "1 of 3 is alive"}"#));
        assert_eq!(said, "http://h:1: status 503 Service Unavailable: 1 of 3 is alive");
        assert_eq!(reason(br#"{"title": "Too few"}"#), "Too few");
        assert_eq!(reason(b"try later\n"), "try later");
        assert_eq!(reason(b"[1]"), "[1]");
        assert_eq!(reason("\u{e9}".repeat(10_000).as_bytes()).chars().count(), REASON_CHARS_MAX);
        assert_eq!(refused(reason(b"")), "http://h:1: status 503 Service Unavailable");
    }
}
