//! Tests of the server over real sockets: what it answers, refuses, closes and survives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::shutdown::Shutdown;

/// No wait of a test is longer; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<usize>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let bound = bind(([127, 0, 0, 1], 0).into(), "listen.test").await.unwrap();
        let (address, shutdown) = (bound.address(), Shutdown::new());
        let task = tokio::spawn(bound.serve(Arc::new(answer), limits, shutdown.clone()));
        Self { address, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a new connection and reads until the server closes it.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn stop(self) -> usize {
        self.shutdown.trigger();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

async fn answer(request: Request) -> Response {
    match request.uri().path() {
        "/panic" => panic!("as asked"),
        "/never" => std::future::pending().await,
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            text(StatusCode::OK, "slow")
        }
        "/big" => text(StatusCode::OK, vec![b'x'; 64 << 20]),
        "/impatient" => echo(request, Duration::from_millis(50)).await,
        _ => echo(request, PATIENCE).await,
    }
}

async fn echo(request: Request, deadline: Duration) -> Response {
    match read_body(request.into_body(), 10, deadline).await {
        Ok(body) => text(StatusCode::OK, body),
        Err(error) => error.into_response(),
    }
}

/// Everything until the end; a reset counts as one.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    let _reset = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("not closed");
    String::from_utf8(reply).unwrap()
}

/// Reads until `text` has arrived.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut reply = Vec::new();
    while !String::from_utf8_lossy(&reply).contains(text) {
        let read =
            tokio::time::timeout(PATIENCE, stream.read_buf(&mut reply)).await.expect("no reply").unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&reply));
    }
}

fn status(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or("none")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_port_in_use_names_the_key() {
    let first = bind(([127, 0, 0, 1], 0).into(), "listen.api").await.unwrap();
    let error = bind(first.address(), "listen.admin").await.unwrap_err().to_string();
    let expected = format!("listen.admin: cannot listen on {}: the port is in use", first.address());
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn pipelined_requests_share_a_connection() {
    let server = Running::start(Limits::default()).await;
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n";
    let replies = server.exchange(&format!("{post}\r\nfirst{post}Connection: close\r\n\r\nagain")).await;
    assert_eq!(replies.matches("HTTP/1.1 200 OK").count(), 2, "{replies}");
    assert!(replies.find("first").unwrap() < replies.find("again").unwrap(), "{replies}");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_half_sent_request_is_closed() {
    let limits = |timeout| Limits { header_timeout: Duration::from_millis(timeout), ..Limits::default() };
    let server = Running::start(limits(50)).await;
    for half in ["GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""] {
        assert_eq!(server.exchange(half).await, "", "{half}");
    }
    assert_eq!(server.stop().await, 0);
    // The request before it is answered all the same.
    let server = Running::start(limits(1000)).await;
    assert_eq!(server.exchange(&format!("{GET}GET / HT")).await.matches("200 OK").count(), 1);
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_malformed_request_is_told() {
    let server = Running::start(Limits::default()).await;
    assert_eq!(status(&server.exchange("GET / JUNK\r\n\r\n and more").await), "400");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn an_oversized_request_is_refused() {
    let server = Running::start(Limits::default()).await;
    let declared = server.exchange("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n").await;
    assert_eq!(status(&declared), "413", "{declared}");
    assert!(declared.contains("urn:settle:problem:body-too-large"), "{declared}");
    let chunked =
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nghijk\r\n";
    assert_eq!(status(&server.exchange(chunked).await), "413");
    let exact = "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n4\r\nghij\r\n0\r\n\r\n";
    assert!(server.exchange(exact).await.ends_with("abcdefghij"));
    // Sent whole, in spite of the refusal: the reply must not drown in a connection reset.
    let whole =
        format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {0}\r\n\r\n{1}", 8 << 20, "x".repeat(8 << 20));
    assert_eq!(status(&server.exchange(&whole).await), "413");
    let headers = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(20 << 10));
    let refused = server.exchange(&headers).await;
    assert_eq!(status(&refused), "431");
    let whole = format!("{} bytes; at most 16384", headers.len());
    assert!(
        refused.contains("urn:settle:problem:headers-too-large") && refused.contains(&whole),
        "{refused}"
    );
    // Beyond the buffer nothing of ours is asked.
    let headers = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(80 << 10));
    assert_eq!(status(&server.exchange(&headers).await), "431");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let server = Running::start(Limits::default()).await;
    let stalled = server.exchange("PUT /impatient HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc").await;
    assert_eq!(status(&stalled), "408", "{stalled}");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_panic_is_one_reply_and_is_told() {
    let (panics, mut panicked) = mpsc::channel(1);
    let on_panic: PanicHook = Arc::new(move |message: &str| panics.try_send(message.to_owned()).unwrap());
    let server = Running::start(Limits { on_panic, ..Limits::default() }).await;
    let reply = server.exchange("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&reply), "500", "{reply}");
    assert!(!reply.contains("as asked"), "the client must not see the message");
    assert_eq!(panicked.recv().await.unwrap(), "as asked");
    let after = server.exchange("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&after), "200");
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = Running::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = server.connect().await;
    first.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut first, "200 OK").await;
    let mut second = server.connect().await;
    second.write_all(GET.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err(), "served beyond the limit");
    drop(first);
    read_until(&mut second, "200 OK").await;
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let limits = Limits { connections: 1, write_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = Running::start(limits).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // The only place is free again once the deaf client is gone.
    let mut next = server.connect().await;
    next.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut next, "200 OK").await;
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn shutdown_lets_requests_end_and_drops_the_rest() {
    let server = Running::start(Limits { drain: Duration::from_secs(3), ..Limits::default() }).await;
    let mut idle = server.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut idle, "\r\n\r\n").await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // One more round trip: the server has accepted the two before it.
    let _fence = server.exchange("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let address = server.address;
    server.shutdown.trigger();
    let (slow_reply, idle_reply) = (read_to_end(&mut slow).await, read_to_end(&mut idle).await);
    assert!(slow_reply.ends_with("slow"), "{slow_reply}");
    assert_eq!(idle_reply, "");
    assert_eq!(server.stop().await, 1, "the stuck one");
    assert_eq!(read_to_end(&mut stuck).await, "");
    assert!(TcpStream::connect(address).await.is_err(), "still listening");
}
