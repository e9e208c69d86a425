//! Requests that are wrong: a clear answer each, and the node serves on.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::dot::{Dot, NodeId, Origin};
use settle_core::key::Key;

use crate::support::http::{CONTEXT, begin_put, connect, read_reply};
use crate::support::{Client, Cluster, turn};

const PARTITIONS: u32 = 128;

/// One node, small limits, and a client of it.
fn one() -> (Cluster, Client) {
    let mut cluster = Cluster::new(1);
    let configuration = &mut cluster.nodes[0].configuration;
    configuration
        .text("limits.key_bytes", "16B")
        .text("limits.value_bytes", "1KiB")
        .bucket("drafts", "siblings");
    cluster.start_all();
    let client = cluster.nodes[0].client();
    (cluster, client)
}

/// The node answers a good request.
#[track_caller]
fn assert_serving(client: &mut Client) {
    client.put("/v1/kv/default/alive", "v").expect(204);
    assert_eq!(client.get("/v1/kv/default/alive").expect(200).text(), "v");
}

#[test]
fn what_is_too_large_is_refused_whole() {
    let _turn = turn::shared();
    let (_cluster, mut client) = one();
    client.put("/v1/kv/default/sixteen-bytes-ab", "v").expect(204);
    for method in ["PUT", "GET", "DELETE"] {
        let problem =
            client.send(method, "/v1/kv/default/seventeen-bytes-a", &[], b"v").problem(413, "too-large");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("17 bytes") && detail.contains("limits.key_bytes"), "{detail}");
    }
    client.put("/v1/kv/default/k", vec![1; 1024]).expect(204);
    let problem = client.put("/v1/kv/default/k", vec![2; 1025]).problem(413, "body-too-large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("limits.value_bytes") && detail.contains("1024 bytes"), "{detail}");
    client.put("/v1/kv/default/k", vec![2; 8 << 20]).problem(413, "body-too-large");
    assert!(client.get("/v1/kv/default/k").expect(200).body == vec![1; 1024]);
}

#[test]
fn a_body_of_unknown_length_is_limited_too() {
    let _turn = turn::shared();
    let (cluster, mut client) = one();
    let mut connection = connect(cluster.nodes[0].api).unwrap();
    let head = "PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.get_mut().write_all(head.as_bytes()).unwrap();
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    connection.get_mut().write_all(chunk.as_bytes()).unwrap();
    read_reply(&mut connection, "PUT").unwrap().problem(413, "body-too-large");
    client.get("/v1/kv/default/k").problem(404, "no-value");
    assert_serving(&mut client);
}

#[test]
fn wrong_keys_buckets_and_parameters_are_named() {
    let _turn = turn::shared();
    let (_cluster, mut client) = one();
    for (path, expected) in [
        ("/v1/kv/default/", "empty"),
        ("/v1/kv/default/%zz", "percent-encoded"),
        ("/v1/kv/default/k?level=most", "most"),
        ("/v1/kv/default/k?levle=one", "levle"),
        ("/v1/kv/default/k?timeout=soon", "timeout"),
        ("/v1/kv/default/k?timeout=0s", "timeout"),
        ("/v1/kv/default/k?timeout=2h", "timeout"),
        ("/v1/kv/default/k?level=%ff", "UTF-8"),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let problem = client.send(method, path, &[], b"").problem(400, "bad-request");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(expected), "{method} {path}: {detail}");
        }
    }
    client.get("/v1/kv/default/k?replica=other").problem(400, "bad-request");
    client.get("/v1/kv/default/k?replica=self&level=all").problem(400, "bad-request");
    client.put("/v1/kv/default/k?replica=self", "v").problem(400, "bad-request");
    for method in ["GET", "PUT", "DELETE"] {
        let problem = client.send(method, "/v1/kv/nobody/k", &[], b"v").problem(404, "unknown-bucket");
        assert!(problem["detail"].as_str().unwrap().contains("nobody"), "{problem}");
    }
    for path in ["/v1", "/v2/kv/default/k"] {
        client.get(path).problem(404, "not-found");
    }
    client.get("/v1/kv/default/k").problem(404, "no-value");
}

/// Each port says what it serves, and to whom it sends those who are wrong there.
#[test]
fn who_comes_to_the_wrong_port_or_path_is_shown_the_right_one() {
    let _turn = turn::shared();
    let (cluster, mut client) = one();
    let (api, admin) = (cluster.nodes[0].api.to_string(), cluster.nodes[0].admin.to_string());
    let mut operator = cluster.nodes[0].admin();
    let detail = |problem: serde_json::Value| problem["detail"].as_str().unwrap().to_owned();
    for path in ["/metrics", "/readyz", "/healthz", "/v1/status", "/v1/members", "/v1/lag", "/-/reload"] {
        let said = detail(client.get(path).problem(404, "not-found"));
        assert!(said.contains("listen.admin") && said.contains(&admin), "{path}: {said}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let said = detail(operator.send(method, "/v1/kv/default/k", &[], b"").problem(404, "not-found"));
        assert!(said.contains("listen.api") && said.contains(&api), "{said}");
        let said = detail(client.send(method, "/v1/kv/default/a/b", &[], b"").problem(404, "not-found"));
        assert!(said.contains("/v1/kv/default/a%2Fb"), "{said}");
        let said = detail(client.send(method, "/v1/kv/default", &[], b"").problem(404, "not-found"));
        assert!(said.contains("the key is missing"), "{said}");
    }
    let said = detail(operator.get("/v1/lagging").problem(404, "not-found"));
    assert!(said.contains("GET /"), "{said}");
    let index = client.get("/").expect(200).text();
    assert!(index.contains("/v1/kv/{bucket}/{key}") && index.contains(&admin), "{index}");
    client.put("/", "v").problem(405, "method-not-allowed");
    let index = operator.get("/").expect(200).text();
    assert!(index.contains(&api), "{index}");
    for line in index.lines().filter(|line| line.starts_with("GET /")) {
        let path = line.split(' ').nth(1).unwrap();
        operator.get(path).expect(200);
    }
    operator.put("/", "v").problem(405, "method-not-allowed");
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let _turn = turn::shared();
    let (cluster, mut client) = one();
    let reply = client.post("/v1/kv/default/k");
    assert_eq!(reply.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    reply.problem(405, "method-not-allowed");
    let reply = client.put("/v1/keys/default", "");
    assert_eq!(reply.header("allow"), Some("GET"));
    reply.problem(405, "method-not-allowed");
    let mut admin = cluster.nodes[0].admin();
    for (method, path, allowed) in
        [("POST", "/metrics", "GET, HEAD"), ("POST", "/v1/status", "GET, HEAD"), ("GET", "/-/reload", "POST")]
    {
        let reply = admin.send(method, path, &[], b"");
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        reply.problem(405, "method-not-allowed");
    }
}

#[test]
fn wrong_contexts_are_refused_and_change_nothing() {
    let _turn = turn::shared();
    let (_cluster, mut client) = one();
    client.put("/v1/kv/drafts/k", "kept").expect(204);
    let read = client.get("/v1/kv/drafts/k").expect(200);
    let context = read.context();
    let (cut, longer) = (&context[..context.len() - 2], format!("{context}AA"));
    for wrong in ["!", "AAAA", "gibberish", "CQ", cut, &longer] {
        let headers = [(CONTEXT, wrong)];
        let reply = client.send("PUT", "/v1/kv/drafts/k", &headers, b"never");
        let problem = reply.problem(400, "bad-request");
        assert!(problem["detail"].as_str().unwrap().contains("Settle-Context"), "{problem}");
        client.send("DELETE", "/v1/kv/drafts/k", &headers, b"").expect(400);
    }
    assert_eq!(client.get("/v1/kv/drafts/k").expect(200).text(), "kept");
}

#[test]
fn a_context_of_another_key_is_refused() {
    let _turn = turn::shared();
    let (_cluster, mut client) = one();
    let partition = |key: &str| Key::new("drafts", key.as_bytes()).partition(PARTITIONS);
    let key = |wanted: &dyn Fn(&str) -> bool| {
        (0..).map(|number| format!("o{number}")).find(|key| wanted(key)).unwrap()
    };
    // In one partition the dots of one clock name writes of both keys, so there the clock alone proves nothing.
    let others = [key(&|key| partition(key) == partition("k")), key(&|key| partition(key) != partition("k"))];
    for other in &others {
        client.put(&format!("/v1/kv/drafts/{other}"), "one").expect(204);
        client.put(&format!("/v1/kv/drafts/{other}"), "two").expect(204);
    }
    client.put("/v1/kv/drafts/k", "v").expect(204);
    let written = client.put("/v1/kv/drafts/k", "w").expect(204);
    let read = client.get("/v1/kv/drafts/k").expect(300);
    for other in &others {
        for context in [read.context(), written.context()] {
            for method in ["PUT", "DELETE"] {
                let headers = [(CONTEXT, context)];
                let reply = client.send(method, &format!("/v1/kv/drafts/{other}"), &headers, b"never");
                let problem = reply.problem(400, "bad-context");
                assert!(problem["detail"].as_str().unwrap().contains("another key"), "{problem}");
            }
        }
        let kept = client.get(&format!("/v1/kv/drafts/{other}")).expect(300).text().to_owned();
        assert!(kept.contains("b25l") && kept.contains("dHdv"), "{kept}");
    }
}

#[test]
fn half_sent_requests_hold_nobody_up() {
    let _turn = turn::shared();
    let (cluster, mut client) = one();
    let address = cluster.nodes[0].api;
    let halves = [
        "",
        "G",
        "GET /v1/kv/default/k HTTP/1.1\r\nHost",
        "PUT /v1/kv/default/half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome",
    ];
    let open: Vec<TcpStream> = halves
        .iter()
        .cycle()
        .take(64)
        .map(|half| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(half.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_serving(&mut client);
    drop(open);
    assert_serving(&mut client);
    client.get("/v1/kv/default/half").problem(404, "no-value");
}

#[test]
fn a_body_that_stalls_is_given_up_at_the_deadline() {
    let _turn = turn::shared();
    let (cluster, mut client) = one();
    let mut connection = begin_put(cluster.nodes[0].api, "/v1/kv/default/half?timeout=200ms", 100);
    connection.get_mut().write_all(b"some").unwrap();
    read_reply(&mut connection, "PUT").unwrap().problem(408, "body-too-late");
    // What is left of the body must not be taken for a request.
    assert_eq!(connection.read_to_end(&mut Vec::new()).unwrap(), 0);
    client.get("/v1/kv/default/half").problem(404, "no-value");
}

#[test]
fn what_is_no_http_is_refused() {
    let _turn = turn::shared();
    let (cluster, mut client) = one();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(64 << 10));
    let garbage: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for (sent, expected) in [
        (&b"HELLO\r\n\r\n"[..], "400"),
        (&garbage, "400"),
        (long.as_bytes(), "4"),
        (b"\0\0\0\0\r\n\r\n", "400"),
    ] {
        for address in [cluster.nodes[0].api, cluster.nodes[0].admin] {
            let mut connection = connect(address).unwrap();
            // The server may close before it has read everything.
            drop(connection.get_mut().write_all(sent));
            let mut said = Vec::new();
            drop(connection.read_to_end(&mut said));
            let said = String::from_utf8_lossy(&said);
            let status = said.split(' ').nth(1).unwrap_or_default();
            assert!(said.is_empty() || status.starts_with(expected), "{said}");
        }
    }
    assert_serving(&mut client);
}

#[test]
fn too_many_requests_at_once_are_turned_away_and_not_queued() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.nodes[0].configuration.literal("limits.concurrent_requests", "2");
    cluster.start_all();
    let node = &cluster.nodes[0];
    let mut held = [(); 2].map(|()| begin_put(node.api, "/v1/kv/default/k?timeout=60s", 9));
    let mut client = node.client();
    let refused = client.get("/v1/kv/default/k");
    assert!(refused.header("retry-after").is_some());
    refused.problem(503, "overloaded");
    assert!(node.metrics().expect("settle_shed_requests_total{reason=\"concurrency\"}") >= 1.0);
    for connection in &mut held {
        connection.get_mut().write_all(b"delivered").unwrap();
        assert_eq!(read_reply(connection, "PUT").unwrap().status, 204);
    }
    assert_eq!(client.get("/v1/kv/default/k").expect(200).text(), "delivered");
}

/// A context that claims writes to come would make them vanish when they come.
#[test]
fn a_context_that_names_writes_that_were_never_made_is_refused() {
    let _turn = turn::shared();
    let (_cluster, mut client) = one();
    client.put("/v1/kv/drafts/k", "kept").expect(204);
    let read = client.get("/v1/kv/drafts/k").expect(200);
    let bytes = URL_SAFE_NO_PAD.decode(read.context()).unwrap();
    let genuine = ClientContext::from_client(bytes).unwrap();
    let member = genuine.clock.origins().next().unwrap();
    let stranger = Origin { node: NodeId(member.node.0 ^ 1), ..member };
    for (origin, counter) in [(member, 2), (member, 1 << 40), (stranger, 1)] {
        let mut forged = genuine.clone();
        forged.clock.add(Dot { origin, counter });
        let header = URL_SAFE_NO_PAD.encode(forged.to_bytes());
        client.send("PUT", "/v1/kv/drafts/k", &[(CONTEXT, &header)], b"never").problem(400, "bad-context");
    }
    client.put("/v1/kv/drafts/k?level=all", "later").expect(204);
    client.get("/v1/kv/drafts/k").expect(300);
}

#[test]
fn concurrent_versions_of_a_key_do_not_outgrow_what_nodes_can_exchange() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.nodes[0].configuration.bucket("drafts", "siblings");
    cluster.start_all();
    let mut client = cluster.nodes[0].client();
    let megabyte = "x".repeat(1 << 20);
    let refused =
        (0..8).map(|_| client.put("/v1/kv/drafts/k", megabyte.clone()).status).find(|code| *code != 204);
    assert_eq!(refused, Some(413));
    // Settling them is possible at any time.
    let read = client.get("/v1/kv/drafts/k").expect(300);
    let headers = [(CONTEXT, read.context())];
    client.send("PUT", "/v1/kv/drafts/k", &headers, b"settled").expect(204);
    assert_eq!(client.get("/v1/kv/drafts/k").expect(200).text(), "settled");
}
