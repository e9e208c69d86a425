//! What is probed: one module per kind of store.

mod settle;

use std::time::Instant;

use bytes::Bytes;
use settle_wire::http::{BadBase, Base, Failure, HttpError, StatusCode};
use thiserror::Error;

pub(crate) use settle::SettleTarget;

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
    /// All other replicas of the layout, reachable or not.
    pub(crate) peers: Vec<Other>,
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
    /// An answer with a status that says no.
    #[error("{base}: status {status}")]
    Refused { base: Base, status: StatusCode },
    /// An answer that makes no sense.
    #[error("{base}: {problem}")]
    Nonsense { base: Base, problem: &'static str },
}

// === impl TargetError ===

impl TargetError {
    /// Whether the target asks for less load.
    pub(crate) fn is_shedding(&self) -> bool {
        matches!(self, Self::Refused { status, .. }
            if *status == StatusCode::SERVICE_UNAVAILABLE || *status == StatusCode::TOO_MANY_REQUESTS)
    }

    /// What the replica did, in a few words: silence, a refusal and an answer that cannot be understood
    /// are looked for in different places.
    pub(crate) fn gist(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refuses",
            Self::Nonsense { .. } => "gives an answer that is not understood",
            Self::Http(error) => match error.failure {
                Failure::Status { .. } => "refuses",
                Failure::Json(_) | Failure::Nonsense(_) | Failure::TooLong(_) => {
                    "gives an answer that is not understood"
                }
                Failure::Refused
                | Failure::Unreachable(_)
                | Failure::Timeout(_)
                | Failure::Closed(_)
                | Failure::BadPath(_) => "does not answer",
            },
        }
    }
}
