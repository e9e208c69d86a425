//! Tests of telemetry; the subscriber is global, so one test covers its whole life.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::*;
use crate::http::{Limits, Request, bind, empty};
use crate::shutdown::Shutdown;

fn settings(endpoint: Option<String>) -> Settings {
    Settings {
        log: "warn".to_owned(),
        otlp_endpoint: endpoint,
        sample_ratio: 1.0,
        program: "test-program".to_owned(),
        instance: "a".to_owned(),
        version: "0".to_owned(),
    }
}

#[test]
fn levels_and_endpoints() {
    assert!(check_level("info,settle_daemon=debug").is_ok());
    assert!(check_level("").is_err());
    assert!(check_level("settle=loud").is_err());
    assert_eq!(export::traces_url("http://127.0.0.1:4318/").unwrap(), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(export::traces_url("http://c:1/custom/traces").unwrap(), "http://c:1/custom/traces");
    for wrong in ["", "127.0.0.1:4318", "https://c:1", "grpc://c:1", "http://"] {
        assert!(check_endpoint(wrong).is_err(), "{wrong} was taken");
    }
    let secret = check_endpoint("https://user:hunter2@c").unwrap_err().to_string();
    assert!(!secret.contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_arrive_at_a_collector() {
    let (sent, mut arrived) = mpsc::channel(8);
    let collector = bind(([127, 0, 0, 1], 0).into(), "test").await.unwrap();
    let url = format!("http://{}", collector.address());
    let shutdown = Shutdown::new();
    let handler = Arc::new(move |request: Request| {
        let sent = sent.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            sent.send((path, body)).await.unwrap();
            empty(::http::StatusCode::OK)
        }
    });
    let serving = tokio::spawn(collector.serve(handler, Limits::default(), shutdown.clone()));

    let telemetry = init(&settings(Some(url))).unwrap();
    assert!(matches!(init(&settings(None)), Err(TelemetryError::AlreadySet)));
    telemetry.set_level("error").unwrap();
    assert!(telemetry.set_level("settle=loud").is_err());

    // A canary's span travels in headers and becomes the parent on the other side.
    let canary = tracing::info_span!("canary-span");
    let mut headers = HeaderMap::new();
    inject(&canary, &mut headers);
    let served = tracing::info_span!("served-span");
    accept_parent(&served, &headers);
    assert!(trace_id(&canary).is_some());
    assert_eq!(trace_id(&canary), trace_id(&served));
    drop((canary, served));

    telemetry.shutdown().await;
    let (path, body) = arrived.recv().await.unwrap();
    assert_eq!(path, "/v1/traces");
    for expected in ["canary-span", "served-span", "test-program"] {
        assert!(body.windows(expected.len()).any(|bytes| bytes == expected.as_bytes()), "no {expected}");
    }
    shutdown.trigger();
    serving.await.unwrap();
}
