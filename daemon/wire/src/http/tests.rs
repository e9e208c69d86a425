//! The client against servers that behave, and servers that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// A server that counts its connections and hands each to `serve`.
async fn server<F, Done>(serve: F) -> (Base, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> Done + Send + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = listener.local_addr().unwrap().to_string().parse().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (base, connections)
}

/// Reads one request with its body of `body_bytes`; `None` when the client has closed.
async fn request(stream: &mut TcpStream, body_bytes: usize) -> Option<String> {
    let mut text = Vec::new();
    loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n")
            && text.len() >= end + 4 + body_bytes
        {
            return Some(String::from_utf8(text).unwrap());
        }
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
    }
}

async fn reply_once(mut stream: TcpStream, reply: &'static [u8]) {
    request(&mut stream, 0).await;
    stream.write_all(reply).await.unwrap();
}

async fn get(base: &Base, deadline: Duration) -> Result<Response, HttpError> {
    Client::new(ClientLimits::default()).send(base, &Call::get("/", deadline)).await
}

#[tokio::test]
async fn connections_are_kept_and_requests_arrive_whole() {
    let (base, connections) = server(|mut stream| async move {
        while let Some(text) = request(&mut stream, 5).await {
            let reply = format!("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = Client::new(ClientLimits::default());
    let call = kv::put("b", b"k", Bytes::from_static(b"value"), &kv::Options::default(), DEADLINE);
    for _ in 0..5 {
        let before = Instant::now();
        let response = client.send(&base, &call).await.unwrap();
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(text.starts_with("PUT /v1/kv/b/k HTTP/1.1\r\n"), "{text}");
        assert!(text.contains(&format!("host: {}\r\n", base.authority())), "{text}");
        assert!(text.ends_with("\r\n\r\nvalue"), "{text}");
        assert_eq!((response.status, response.header("x-a")), (StatusCode::OK, Some("b")));
        assert!(before <= response.sent && response.sent <= response.done);
        assert!(response.done <= Instant::now());
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let (base, connections) = server(|stream| reply_once(stream, b"HTTP/1.1 204 No Content\r\n\r\n")).await;
    let client = Client::new(ClientLimits::default());
    for round in 1..=5 {
        client.send(&base, &Call::get("/", DEADLINE)).await.unwrap();
        assert_eq!(connections.load(Ordering::SeqCst), round);
        while client.pool.open_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = get(&refusing.to_string().parse().unwrap(), DEADLINE).await.unwrap_err();
    assert_eq!((&error.failure, error.sent), (&Failure::Refused, None));

    let (base, _) = server(|stream| reply_once(stream, b"220 mail.example ESMTP\r\n")).await;
    let error = get(&base, DEADLINE).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Nonsense(_)), "{error}");

    let (base, _) = server(|stream| reply_once(stream, b"")).await;
    let error = get(&base, DEADLINE).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)) && error.sent.is_some(), "{error}");

    let (base, _) =
        server(|stream| reply_once(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")).await;
    let error = get(&base, DEADLINE).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)), "{error}");

    // The kernel itself refuses to connect to the broadcast address.
    let error = get(&"255.255.255.255:1".parse().unwrap(), DEADLINE).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Unreachable(_)), "{error}");

    let call = Call::get("no path", DEADLINE);
    let error = Client::new(ClientLimits::default()).send(&base, &call).await.unwrap_err();
    assert!(matches!(error.failure, Failure::BadPath(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_deadline_and_its_connection() {
    let (closed, mut wait_closed) = tokio::sync::mpsc::channel(1);
    let (base, _) = server(move |mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream, 0).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let error = get(&base, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.failure, Failure::Timeout(Duration::from_millis(50)));
    wait_closed.recv().await.unwrap();
}

#[tokio::test]
async fn a_reply_over_the_limit_is_refused() {
    let (base, _) =
        server(|stream| reply_once(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nhello, world"))
            .await;
    for (body_bytes, allowed) in [(11, false), (12, true)] {
        let client = Client::new(ClientLimits { body_bytes, ..ClientLimits::default() });
        let result = client.send(&base, &Call::get("/", DEADLINE)).await;
        assert_eq!(result.is_ok(), allowed, "{result:?}");
    }
}

#[tokio::test]
async fn documents_are_parsed_and_other_statuses_quoted() {
    let client = Client::new(ClientLimits::default());
    let (base, _) =
        server(|stream| reply_once(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[1,2]")).await;
    let (numbers, _) = client.json::<Vec<u32>>(&base, "/v1/members", DEADLINE).await.unwrap();
    assert_eq!(numbers, [1, 2]);

    let error = client.json::<bool>(&base, "/", DEADLINE).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Json(_)), "{error}");

    let (base, _) =
        server(|stream| reply_once(stream, b"HTTP/1.1 503 No\r\ncontent-length: 8\r\n\r\nstarting")).await;
    let error = client.json::<bool>(&base, "/", DEADLINE).await.unwrap_err();
    assert!(error.to_string().contains("503") && error.to_string().contains("starting"), "{error}");
}
