//! Bind first, accept later: the port is known, and a taken one reported, before anything starts.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::reply::Problem;
use super::stream::PatientStream;
use super::{Handler, Request, Response};
use crate::shutdown::Shutdown;

/// A pause after a failed accept, for such failures (no file descriptors left) do not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Called with what a handler panicked with.
pub type PanicHook = Arc<dyn Fn(&str) + Send + Sync>;

/// A listening socket that does not accept yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// The address of a listener could not be taken.
#[derive(Debug, Error)]
#[error("{key}: cannot listen on {address}: {}", reason(.source))]
pub struct BindError {
    key: String,
    address: SocketAddr,
    source: io::Error,
}

/// What one server takes from its clients.
#[derive(Clone)]
pub struct Limits {
    /// Connections served at once; further ones wait in the kernel's backlog.
    pub connections: usize,
    /// From the last reply (or the start) until a request's headers are complete. It bounds
    /// half-sent requests and idle connections alike, so pools of clients must give up earlier.
    pub header_timeout: Duration,
    /// Size of a request's line and headers, in bytes. What exceeds it and fits the buffer is told so in words; to
    /// what does not fit the buffer either, hyper itself answers, with a status alone.
    pub header_bytes: usize,
    /// Buffer for reading and writing, per connection, in bytes; at least 8192.
    pub buffer_bytes: usize,
    /// How long a reply may wait for a client that does not read.
    pub write_timeout: Duration,
    /// How long requests in progress may go on once shutdown began.
    pub drain: Duration,
    /// Called when a handler panics.
    pub on_panic: PanicHook,
}

/// The three lives of a server, told to its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Dropping,
}

/// Takes the address; `key` is the configuration key to name when that fails.
pub async fn bind(address: SocketAddr, key: &str) -> Result<Bound, BindError> {
    let failed = |source| BindError { key: key.to_owned(), address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address })
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another process; choose another one".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 need a privilege".to_owned(),
        _ => error.to_string(),
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_timeout: Duration::from_secs(30),
            header_bytes: 16 << 10,
            buffer_bytes: 64 << 10,
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            on_panic: Arc::new(|_| {}),
        }
    }
}

// === impl Bound ===

impl Bound {
    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then closes idle connections, lets requests in progress end within
    /// `limits.drain`, and drops the rest. Returns the number of connections dropped.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, limits: Limits, shutdown: Shutdown) -> usize {
        let permits = Arc::new(Semaphore::new(limits.connections));
        let (phase, _) = watch::channel(Phase::Serving);
        let server = Arc::new(Server { handler, protocol: protocol(&limits), limits });
        loop {
            // A permit comes before the accept, so that no connection is accepted only to wait here.
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = shutdown.wait() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    let served = Arc::clone(&server).connection(stream, phase.subscribe());
                    tokio::spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        drained(&permits, &server.limits, &phase).await
    }
}

async fn reached(phase: &mut watch::Receiver<Phase>, at: Phase) {
    // A server that is gone without a word (its task was aborted) means the same as the last phase.
    let _gone = phase.wait_for(|phase| *phase >= at).await.map(drop);
}

/// Waits for all permits, which is when no connection is left.
async fn drained(permits: &Semaphore, limits: &Limits, phase: &watch::Sender<Phase>) -> usize {
    phase.send_replace(Phase::Draining);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let gone = tokio::time::timeout(limits.drain, permits.acquire_many(all)).await;
    let left = if gone.is_ok() { 0 } else { limits.connections - permits.available_permits() };
    phase.send_replace(Phase::Dropping);
    left
}

/// hyper's `pipeline_flush` stays off: it holds a reply back while any bytes follow the request, so
/// that the reply before a half-sent request, and the one to a malformed request, would not arrive.
fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.buffer_bytes.max(8192));
    protocol
}

/// What all connections of one listener share.
struct Server<H> {
    handler: Arc<H>,
    protocol: http1::Builder,
    limits: Limits,
}

// === impl Server ===

impl<H: Handler> Server<H> {
    async fn connection(self: Arc<Self>, stream: TcpStream, mut phase: watch::Receiver<Phase>) {
        // Replies are small and written whole: waiting to fill a segment only adds delay.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection was gone before it was served");
            return;
        }
        let io = TokioIo::new(PatientStream::new(stream, self.limits.write_timeout));
        let service = service_fn(|request| self.answer(request));
        let mut connection = pin!(self.protocol.serve_connection(io, service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = reached(&mut phase, Phase::Draining) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = connection => ended,
                    () = reached(&mut phase, Phase::Dropping) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Infallible> {
        let head = head_bytes(&request);
        if head > self.limits.header_bytes {
            return Ok(head_too_large(head, self.limits.header_bytes));
        }
        let answered = catch_panic(async { self.handler.handle(request).await }).await;
        Ok(answered.unwrap_or_else(|message| {
            tracing::error!(panic = message, "request handler panicked");
            (self.limits.on_panic)(&message);
            Problem::new("internal", 500, "The server failed to answer").closing().into_response()
        }))
    }
}

/// The size of a request's line and headers, as HTTP/1.1 writes them.
fn head_bytes(request: &Request) -> usize {
    let line = "  HTTP/1.1\r\n\r\n".len() + request.method().as_str().len();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + target + headers.sum::<usize>()
}

fn head_too_large(bytes: usize, limit: usize) -> Response {
    Problem::new("headers-too-large", 431, "The request's headers are too large")
        .detail(format!("the request's line and headers take {bytes} bytes; at most {limit} are read"))
        .closing()
        .into_response()
}

/// Runs `future`.
///
/// # Errors
/// The message of a panic in it; what it shares with others may be half done then.
pub async fn catch_panic<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        // After a panic the future is not polled again, so what it left half done is not seen.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic_message(panic.as_ref()))),
        }
    })
    .await
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
