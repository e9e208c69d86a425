//! Refusals and silence in words.

use std::time::Instant;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use settle_wire::http::HeaderMap;

use super::*;

fn response(status: u16, content_type: &'static str, body: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let now = Instant::now();
    let status = StatusCode::from_u16(status).unwrap();
    Response { status, headers, body: Bytes::from(body.to_owned()), sent: now, done: now }
}

/// What the user reads when the node says this.
fn words(method: Method, status: u16, problem: &Value) -> String {
    let node = Node::new(&"node:7400".parse().unwrap(), Door::Api);
    let call = Call { method, ..Call::get("/v1/kv/b/k?level=all", Duration::from_secs(1)) };
    let response = response(status, "application/problem+json", &problem.to_string());
    node.refused(&call, &response).to_string()
}

#[test]
fn too_few_replicas_are_counted_and_a_way_out_is_named() {
    let problem = json!({
        "type": "urn:settle:problem:not-enough-replicas", "title": "Not enough replicas are alive",
        "status": 503, "detail": "3 are needed", "needed": 3, "alive": 1,
    });
    let words = words(Method::PUT, 503, &problem);
    assert!(words.starts_with("http://node:7400: not enough replicas are alive: 3 are needed\n"), "{words}");
    assert!(words.contains("needed: 3, alive: 1; `settle members`"), "{words}");
}

#[test]
fn the_fate_of_a_late_write_is_told_plainly() {
    let problem = |may: bool| {
        json!({"type": "urn:settle:problem:deadline", "title": "The deadline passed",
               "detail": "1 of 2", "may_take_effect": may})
    };
    let late = words(Method::PUT, 504, &problem(true));
    assert!(late.contains("the deadline passed: 1 of 2\n  it may still take effect"), "{late}");
    let refused = words(Method::PUT, 504, &problem(false));
    assert!(refused.ends_with("\n  it will not take effect"), "{refused}");
    let read = words(Method::GET, 504, &problem(false));
    assert!(read.ends_with("1 of 2"), "a read has no effect to speak of: {read}");
}

#[test]
fn what_is_not_offered_is_told_from_what_is_not_there() {
    let problem = |kind: &str| json!({"type": format!("urn:settle:problem:{kind}"), "title": "No"});
    let missing = words(Method::GET, 404, &problem("not-found"));
    assert!(missing.contains("does not offer GET /v1/kv/b/k (asked at http://node:7400)"), "{missing}");
    assert!(missing.contains("--api, SETTLE_API"), "{missing}");
    assert!(words(Method::POST, 405, &problem("method-not-allowed")).contains("does not offer POST"));
    assert_eq!(words(Method::GET, 404, &problem("unknown-bucket")), "http://node:7400: no");
}

#[test]
fn a_reply_of_someone_else_is_quoted_without_its_control_characters() {
    let node = Node::new(&"node:7400".parse().unwrap(), Door::Api);
    let call = Call::get("/v1/kv/b/k", Duration::from_secs(1));
    let error = node.refused(&call, &response(502, "text/html", "bad\u{1b}[2J gateway\n"));
    assert_eq!(error.to_string(), "http://node:7400: status 502 Bad Gateway: bad\\u{1b}[2J gateway");
}

#[test]
fn silence_says_what_it_means_for_a_change() {
    let error = |failure, sent, changing| {
        let error = HttpError { base: "node:7400".parse().unwrap(), failure, sent };
        CallError::NoReply { error, door: Door::Api, changing }.to_string()
    };
    let refused = error(Failure::Refused, None, true);
    assert!(refused.starts_with("http://node:7400: connection refused\n  is settled running"), "{refused}");
    assert!(!refused.contains("take effect"), "{refused}");
    let late = Failure::Timeout(Duration::from_secs(1));
    assert!(error(late.clone(), Some(Instant::now()), true).contains("may still take effect"));
    assert!(!error(late, Some(Instant::now()), false).contains("take effect"));
}
