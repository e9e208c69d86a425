//! Tests of how data calls are counted, over loopback.

use std::net::SocketAddr;

use settle_service::http::{Limits, bind};
use settle_service::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::testing::open;

const SETTINGS: &str = r#"
[[bucket]]
name = "strict"
read = "quorum"
"#;

/// The status of a call without a body.
async fn status(address: SocketAddr, method: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn calls_that_end_early_are_counted_too() {
    let directory = tempfile::tempdir().unwrap();
    let (node, metrics) = open(directory.path(), SETTINGS);
    let api = Arc::new(Api::new(node, &metrics).unwrap());
    let bound = bind("127.0.0.1:0".parse().unwrap(), "listen.api").await.unwrap();
    let address = bound.address();
    let shutdown = Shutdown::new();
    let serving = tokio::spawn(bound.serve(Arc::clone(&api), Limits::default(), shutdown.clone()));

    // The level that was asked for counts, otherwise the bucket's, otherwise the configured one.
    assert_eq!(status(address, "GET", "/v1/kv/strict/k?levle=one").await, 400);
    assert_eq!(status(address, "PUT", "/v1/kv/default/k?level=all&timeout=never").await, 400);
    assert_eq!(status(address, "DELETE", "/v1/kv/default/%zz?level=quorum").await, 400);
    assert_eq!(status(address, "GET", "/v1/kv/nobody/k?level=all").await, 404);
    assert_eq!(status(address, "GET", "/v1/keys/nobody").await, 404);
    api.in_progress.store(usize::MAX / 2, Ordering::Relaxed);
    assert_eq!(status(address, "GET", "/v1/kv/strict/k").await, 503);
    shutdown.trigger();
    serving.await.unwrap();

    let page = String::from_utf8(metrics.render()).unwrap();
    let expected = [
        ("quorum", "get", "invalid"),
        ("all", "put", "invalid"),
        ("quorum", "delete", "invalid"),
        ("all", "get", "not_found"),
        ("one", "keys", "not_found"),
        ("quorum", "get", "unavailable"),
    ];
    for (level, op, outcome) in expected {
        let line = format!(r#"settle_requests_total{{level="{level}",op="{op}",outcome="{outcome}"}} 1"#);
        assert!(page.contains(&line), "{line}\n{page}");
    }
    let calls =
        page.lines().filter(|line| line.starts_with("settle_requests_total") && !line.ends_with(" 0"));
    assert_eq!(calls.count(), expected.len(), "{page}");
    assert!(page.contains(r#"settle_shed_requests_total{reason="concurrency"} 1"#), "{page}");
}
