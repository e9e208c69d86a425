//! The HTTP client of Settle's public interface, used by the sidecar and the command line.
//!
//! HTTP/1.1 without TLS, connections kept open between calls. Every call has one deadline for all of it, every reply
//! a bounded body. The instants at which a request was handed to the socket and its reply was complete come back with
//! the reply, and the first of them with a failure, because the sidecar measures with them.

mod base;
mod connection;
mod error;
pub mod kv;
mod pool;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use serde::de::DeserializeOwned;

pub use base::{BadBase, Base};
pub use error::{Failure, HttpError};
pub use hyper::{HeaderMap, Method, StatusCode};
use pool::Pool;

/// Bounds of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// How long connecting may take, within the call's deadline.
    pub connect: Duration,
    /// The longest body of a reply, in bytes.
    pub body_bytes: usize,
    /// Idle connections kept per server.
    pub idle_connections: usize,
    /// How long an idle connection is kept. Below what servers allow, so that they rarely close first.
    pub idle: Duration,
}

/// A call to a server.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded, beginning with `/`.
    pub path: String,
    /// Headers; `Host` is added.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// How long the whole call may take, connecting and reading the reply included.
    pub deadline: Duration,
}

/// A reply with all of its body.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Just before the request was handed to the socket, after connecting.
    pub sent: Instant,
    /// Just after the reply was complete.
    pub done: Instant,
}

/// Calls servers. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool,
    limits: ClientLimits,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            body_bytes: 16 << 20,
            idle_connections: 8,
            idle: Duration::from_secs(10),
        }
    }
}

impl Call {
    /// A GET of `path`.
    #[must_use]
    pub fn get(path: impl Into<String>, deadline: Duration) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline,
        }
    }

    fn request(&self, base: &Base) -> Result<hyper::Request<Full<Bytes>>, Failure> {
        let mut request = hyper::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().map_err(|_| Failure::BadPath(self.path.clone()))?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::from_str(base.authority());
        let host = host.map_err(|_| Failure::BadPath(base.authority().to_owned()))?;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }
}

impl Response {
    /// A header's value; `None` if it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// From sending the request to the end of the reply.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.done.saturating_duration_since(self.sent)
    }
}

impl Client {
    /// A client without connections.
    #[must_use]
    pub fn new(limits: ClientLimits) -> Self {
        Self { pool: Pool::new(limits), limits }
    }

    /// Calls `base` and waits for the whole reply, whatever its status.
    ///
    /// A kept connection that turns out to be closed before anything was sent is replaced by a new one; nothing is
    /// ever sent twice.
    ///
    /// # Errors
    /// [`HttpError`]; [`HttpError::sent`] says whether the server may have taken the request.
    pub async fn send(&self, base: &Base, call: &Call) -> Result<Response, HttpError> {
        let mut sent = None;
        let exchange = tokio::time::timeout(call.deadline, self.exchange(base, call, &mut sent)).await;
        let result = exchange.unwrap_or_else(|_| Err(Failure::timeout(call.deadline, sent)));
        result.map_err(|failure| HttpError { base: base.clone(), failure, sent })
    }

    /// GETs a JSON document.
    ///
    /// # Errors
    /// [`HttpError`], also for a status other than success and for a document that is not of this form.
    pub async fn json<T: DeserializeOwned>(
        &self,
        base: &Base,
        path: &str,
        deadline: Duration,
    ) -> Result<(T, Response), HttpError> {
        let response = self.send(base, &Call::get(path, deadline)).await?;
        let parsed = match response.status.is_success() {
            true => serde_json::from_slice(&response.body).map_err(|error| Failure::Json(error.to_string())),
            false => Err(Failure::status(response.status, &response.body)),
        };
        match parsed {
            Ok(document) => Ok((document, response)),
            Err(failure) => Err(HttpError { base: base.clone(), failure, sent: Some(response.sent) }),
        }
    }

    async fn exchange(
        &self,
        base: &Base,
        call: &Call,
        sent: &mut Option<Instant>,
    ) -> Result<Response, Failure> {
        let mut request = call.request(base)?;
        loop {
            let (mut connection, kept) = self.pool.take(base).await?;
            let at = Instant::now();
            *sent = Some(at);
            match connection.send(request).await {
                Ok(reply) => {
                    let response = self.read(reply, at).await?;
                    self.pool.keep(base, connection);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept => {
                        *sent = None;
                        request = unsent;
                    }
                    unsent => {
                        *sent = sent.filter(|_| unsent.is_none());
                        return Err(Failure::of(&error.into_error()));
                    }
                },
            }
        }
    }

    async fn read(&self, reply: hyper::Response<Incoming>, sent: Instant) -> Result<Response, Failure> {
        let (head, mut body) = reply.into_parts();
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::of(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if collected.len() + data.len() > self.limits.body_bytes {
                return Err(Failure::TooLong(self.limits.body_bytes));
            }
            collected.extend_from_slice(&data);
        }
        let done = Instant::now();
        Ok(Response { status: head.status, headers: head.headers, body: collected.freeze(), sent, done })
    }
}

#[cfg(test)]
mod tests;
