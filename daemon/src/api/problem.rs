//! Failures as clients see them: RFC 9457, with a stable type each.

use http::header::{HeaderValue, RETRY_AFTER};
use settle_core::storage::StorageError;
use settle_service::http::{BodyError, Problem, Response};

use crate::node::gather::Unavailable;
use crate::node::{ChangeError, ReadError, WriteError};

use super::kv::context_header;

/// 400 with what is wrong.
pub(super) fn bad_request(detail: impl Into<String>) -> Response {
    Problem::new("bad-request", 400, "The request is not valid").detail(detail).into_response()
}

/// 404: nobody declared the bucket.
pub(super) fn unknown_bucket(name: &str) -> Response {
    Problem::new("unknown-bucket", 404, "There is no such bucket")
        .detail(format!("bucket {name:?} is not declared; declare it as a [[bucket]] in the configuration"))
        .into_response()
}

/// 404: the key has no value.
pub(super) fn no_value() -> Problem {
    Problem::new("no-value", 404, "The key has no value")
}

/// 413: something exceeds its limit.
pub(super) fn too_large(what: &str, bytes: usize, key: &str, limit: usize) -> Response {
    Problem::new("too-large", 413, "Something is too large")
        .detail(format!("the {what} has {bytes} bytes; {key} allows {limit}"))
        .into_response()
}

/// The body of a write could not be read.
pub(super) fn body(error: BodyError) -> Response {
    let BodyError::TooLarge { limit } = error else { return error.into_response() };
    let detail = format!("the value is longer than limits.value_bytes, which is {limit} bytes at present");
    // What is left of the body would be taken for the next request.
    Problem::new("body-too-large", 413, "The body is too large").detail(detail).closing().into_response()
}

/// 503: too many requests in progress.
pub(super) fn too_many() -> Response {
    retry_later(
        Problem::new("overloaded", 503, "The node is overloaded")
            .detail("limits.concurrent_requests are in progress; try again, or at another node"),
    )
}

fn retry_later(problem: Problem) -> Response {
    problem.header(RETRY_AFTER, HeaderValue::from_static("1")).into_response()
}

pub(super) fn unavailable(error: &Unavailable) -> Response {
    let detail = error.to_string();
    match error {
        Unavailable::TooFew { needed, alive } => retry_later(
            Problem::new("not-enough-replicas", 503, "Not enough replicas are alive")
                .detail(detail)
                .member("needed", *needed)
                .member("alive", *alive),
        ),
        Unavailable::NotReplica => Problem::new("not-a-replica", 421, "This node does not hold the key")
            .detail(detail)
            .into_response(),
        Unavailable::NotBorn(_) => retry_later(
            Problem::new("not-joined", 503, "The node has not joined its cluster yet").detail(detail),
        ),
        Unavailable::Late { .. } => {
            late(Problem::new("deadline", 504, "The deadline passed").detail(detail), false)
        }
    }
}

/// 504: a write went to a replica, and no answer came back.
pub(super) fn lost(replica: &str, reason: &str) -> Response {
    let detail = format!("the write was passed on to node {replica}, and no answer came back: {reason}");
    late(Problem::new("deadline", 504, "The deadline passed").detail(detail), true)
}

fn late(problem: Problem, may_take_effect: bool) -> Response {
    problem.member("may_take_effect", may_take_effect).into_response()
}

fn storage(error: &StorageError) -> Response {
    match error {
        StorageError::Full(_) => Problem::new("disk-full", 507, "The disk is full"),
        StorageError::Io(_) | StorageError::Corrupt(_) => Problem::new("storage", 500, "The storage failed"),
    }
    .detail(error.to_string())
    .into_response()
}

/// 500: a stored version is not a register's.
pub(super) fn damaged() -> Response {
    storage(&StorageError::Corrupt("a stored version is no register".to_owned()))
}

/// Why a read failed.
pub(super) fn read(error: &ReadError) -> Response {
    match error {
        ReadError::Unavailable(error) => unavailable(error),
        ReadError::Unrepaired { .. } => {
            late(Problem::new("deadline", 504, "The deadline passed").detail(error.to_string()), false)
        }
        ReadError::Storage(error) => storage(error),
    }
}

/// Why a write was not acknowledged.
pub(super) fn write(error: &WriteError) -> Response {
    match error {
        WriteError::Unavailable(error) => unavailable(error),
        WriteError::Context(_) => Problem::new("bad-context", 400, "The context is not valid")
            .detail(error.to_string())
            .into_response(),
        WriteError::TooLarge { .. } => {
            Problem::new("too-large", 413, "Something is too large").detail(error.to_string()).into_response()
        }
        WriteError::Change(ChangeError::Storage(error)) => storage(error),
        WriteError::Change(ChangeError::Overloaded | ChangeError::Closing | ChangeError::Dropping(_)) => {
            retry_later(Problem::new("overloaded", 503, "The node is overloaded").detail(error.to_string()))
        }
        WriteError::Late { context, .. } => {
            let problem = Problem::new("deadline", 504, "The deadline passed").detail(error.to_string());
            let (name, value) = context_header(context);
            late(problem.header(name, value), true)
        }
    }
}
