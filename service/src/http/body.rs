//! Reads a body up to a limit of bytes and a deadline.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use thiserror::Error;

use super::Response;
use super::reply::Problem;

/// Why a body could not be read; [`BodyError::into_response`] makes the reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// More bytes than allowed, declared or sent.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// The client did not send all of it in time.
    #[error("the body did not arrive within {}s", .0.as_secs_f64())]
    Late(Duration),
    /// The connection broke, or the body was not framed as HTTP wants it.
    #[error("the body could not be read")]
    Broken,
}

/// The whole body, at most `limit` bytes, within `deadline` from now.
///
/// A body that arrived in one piece, as small ones do, is not copied.
pub async fn read_body(body: Incoming, limit: usize, deadline: Duration) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // A declared length is refused before a byte of it is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    tokio::time::timeout(deadline, collect(body, limit)).await.unwrap_or(Err(BodyError::Late(deadline)))
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if first.len() + joined.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&first);
            first = Bytes::new();
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

// === impl BodyError ===

impl BodyError {
    /// 413, 408 or 400 as a problem document.
    pub fn into_response(self) -> Response {
        let (kind, status, title) = match self {
            Self::TooLarge { .. } => ("body-too-large", 413, "The body is too large"),
            Self::Late(_) => ("body-too-late", 408, "The body did not arrive in time"),
            Self::Broken => ("body-broken", 400, "The body could not be read"),
        };
        // What is left of the body would be taken for the next request.
        Problem::new(kind, status, title).detail(self.to_string()).closing().into_response()
    }
}
