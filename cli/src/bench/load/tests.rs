//! The load generator against small servers in this process: it counts what succeeded, what failed,
//! and asks for what the interface says.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::*;

const VALUE: &[u8] = b"0123456789";

#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU32,
    targets: Mutex<BTreeSet<String>>,
    /// Every so many requests one is refused; 0: none.
    refuse_every: u32,
}

/// Answers as Settle does; 503 in place of the refused.
async fn settle_reply(
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let number = seen.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let target = format!("{} {}", request.method(), request.uri());
    let method = request.method().clone();
    seen.targets.lock().unwrap().insert(target);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let (status, reply) = match method {
        _ if seen.refuse_every != 0 && number.is_multiple_of(seen.refuse_every) => {
            (503, Bytes::from("not enough replicas"))
        }
        Method::PUT if body == VALUE => (204, Bytes::new()),
        Method::GET => (200, Bytes::from(VALUE)),
        _ => (400, Bytes::new()),
    };
    Ok(Response::builder().status(status).body(Full::new(reply)).unwrap())
}

/// Answers a Put as etcd does, with its status in trailers; anything else with a failure in headers.
async fn etcd_reply(
    seen: Arc<Seen>,
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let is_put = request.uri().path() == "/etcdserverpb.KV/Put";
    let mut message = Vec::new();
    let mut body = request.into_body();
    while let Some(part) = body.data().await {
        message.extend_from_slice(&part.unwrap());
    }
    if is_put && message.ends_with(VALUE) {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
        let status = ("grpc-status".parse().unwrap(), HeaderValue::from_static("0"));
        stream.send_trailers(HeaderMap::from_iter([status])).unwrap();
    } else {
        let refused =
            Response::builder().header("grpc-status", "12").header("grpc-message", "unknown method");
        respond.send_response(refused.body(()).unwrap(), true).unwrap();
    }
}

async fn serve_etcd(seen: Arc<Seen>, stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(etcd_reply(Arc::clone(&seen), request, respond));
    }
}

async fn serve(system: System, seen: Arc<Seen>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            match system {
                System::Settle => {
                    let service = service_fn(move |request| settle_reply(Arc::clone(&seen), request));
                    let server = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
                }
                System::Etcd => drop(tokio::spawn(serve_etcd(seen, stream))),
            }
        }
    });
    address
}

fn load(system: System, nodes: Vec<SocketAddr>) -> Load {
    Load {
        system,
        nodes,
        connections: 5,
        level: Arc::from("quorum"),
        keys: 20,
        value: Bytes::from_static(VALUE),
    }
}

/// Everything from now on counts.
fn window() -> Window {
    let start = Instant::now();
    Window { start, end: start + Duration::from_millis(200), seed: 1 }
}

#[tokio::test]
async fn filling_writes_every_key_once_over_all_nodes() {
    let seen = [Arc::new(Seen::default()), Arc::new(Seen::default())];
    let nodes = vec![
        serve(System::Settle, Arc::clone(&seen[0])).await,
        serve(System::Settle, Arc::clone(&seen[1])).await,
    ];
    load(System::Settle, nodes).fill().await.unwrap();
    let mut targets = seen[0].targets.lock().unwrap().clone();
    let counts = seen.each_ref().map(|seen| seen.requests.load(Ordering::Relaxed));
    // Connections 0, 2 and 4 of five go to the first node, each with every fifth of twenty keys.
    assert_eq!(counts, [12, 8]);
    targets.append(&mut seen[1].targets.lock().unwrap());
    let expected: BTreeSet<String> =
        (0..20).map(|number| format!("PUT /v1/kv/default/{}?level=quorum", key(number))).collect();
    assert_eq!(targets, expected);
}

#[tokio::test]
async fn filling_tries_again_what_was_refused() {
    let seen = Arc::new(Seen { refuse_every: 3, ..Seen::default() });
    let nodes = vec![serve(System::Settle, Arc::clone(&seen)).await];
    load(System::Settle, nodes).fill().await.unwrap();
    assert_eq!(seen.targets.lock().unwrap().len(), 20);
    assert!(seen.requests.load(Ordering::Relaxed) > 20);
}

#[tokio::test]
async fn settle_operations_succeed_and_ask_for_their_level() {
    let seen = Arc::new(Seen::default());
    let nodes = vec![serve(System::Settle, Arc::clone(&seen)).await];
    let load = load(System::Settle, nodes);
    for (operation, expected) in [
        (Operation::Write, "?level=quorum"),
        (Operation::Read, "?level=one"),
        (Operation::StrongRead, "?level=quorum"),
    ] {
        seen.targets.lock().unwrap().clear();
        let tally = load.run(operation, window()).await.unwrap();
        assert_eq!((tally.failed, tally.first_failure), (0, None));
        assert!(!tally.latencies.is_empty());
        assert!(seen.targets.lock().unwrap().iter().all(|target| target.ends_with(expected)));
    }
}

#[tokio::test]
async fn refusals_are_counted_as_failures_not_as_operations() {
    let seen = Arc::new(Seen { refuse_every: 2, ..Seen::default() });
    let nodes = vec![serve(System::Settle, Arc::clone(&seen)).await];
    let tally = load(System::Settle, nodes).run(Operation::Write, window()).await.unwrap();
    assert_eq!(tally.failed, u64::from(seen.requests.load(Ordering::Relaxed) / 2));
    assert!(tally.failed > 0 && tally.first_failure.unwrap().contains("not enough replicas"));
}

#[tokio::test]
async fn operations_outside_the_window_are_not_counted() {
    let seen = Arc::new(Seen::default());
    let nodes = vec![serve(System::Settle, Arc::clone(&seen)).await];
    let end = Instant::now() + Duration::from_millis(100);
    let window = Window { start: end, end, seed: 1 };
    let tally = load(System::Settle, nodes).run(Operation::Write, window).await.unwrap();
    assert!(seen.requests.load(Ordering::Relaxed) > 0);
    assert_eq!((tally.latencies.len(), tally.failed), (0, 0));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let tally = load(System::Settle, vec![gone]).run(Operation::Read, window()).await.unwrap();
    assert!(tally.latencies.is_empty() && tally.failed > 0);
}

#[tokio::test]
async fn etcd_calls_succeed_by_trailer_and_fail_by_status() {
    let seen = Arc::new(Seen::default());
    let nodes = vec![serve(System::Etcd, Arc::clone(&seen)).await];
    let load = load(System::Etcd, nodes);
    load.fill().await.unwrap();
    assert_eq!(seen.requests.load(Ordering::Relaxed), 20);
    let tally = load.run(Operation::Write, window()).await.unwrap();
    assert!(tally.failed == 0 && !tally.latencies.is_empty());
    let tally = load.run(Operation::Read, window()).await.unwrap();
    assert!(tally.latencies.is_empty());
    assert!(tally.first_failure.unwrap().contains("gRPC status 12: unknown method"));
}

#[test]
fn random_keys_cover_their_range_evenly() {
    let mut random = Random(7);
    let mut counts = [0; 10];
    for _ in 0..10_000 {
        counts[random.below(10) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
}
