//! What is probed: one module per kind of store.

mod settle;

use std::time::Instant;

use bytes::Bytes;
use settle_wire::http::{Base, HttpError, StatusCode};
use thiserror::Error;

pub(crate) use settle::SettleTarget;

/// A replica of the store, by the name that is its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) name: String,
    /// Where it takes reads and writes.
    pub(crate) api: Base,
}

/// The cluster as the own replica sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) cluster: String,
    pub(crate) own: Replica,
    /// All other replicas of the layout, reachable or not.
    pub(crate) peers: Vec<Replica>,
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
}
