//! An HTTP/1.1 server on hyper with the limits that a server on a hostile network needs, plus
//! helpers for bodies and replies. The handler is generic, so a request costs no allocation here.

mod body;
mod reply;
mod server;
mod stream;

use std::future::Future;

use ::http::{Request as HttpRequest, Response as HttpResponse};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;

pub use body::{BodyError, read_body};
pub use reply::{PROBLEM_PREFIX, Problem, empty, json, text, with_content_type};
pub use server::{BindError, Bound, Limits, PanicHook, bind, catch_panic};

/// A request whose body is still to be read, see [`read_body`].
pub type Request = HttpRequest<Incoming>;

/// A reply with its whole body.
pub type Response = HttpResponse<Full<Bytes>>;

/// Answers requests. Also implemented by closures `Fn(Request) -> impl Future<Output = Response>`.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; failures are replies too. A panic becomes a 500 and reaches the server's
    /// panic hook. The future is dropped when the client goes away.
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send;
}

// === impl Handler ===

impl<F, Answer> Handler for F
where
    F: Fn(Request) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response> + Send,
{
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send {
        self(request)
    }
}

#[cfg(test)]
mod tests;
