//! Tests of telemetry; the subscriber is global, so one test covers its whole life.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::*;
use crate::http::{Limits, Request, bind, empty};
use crate::shutdown::Shutdown;

fn settings(otlp_endpoint: Option<String>) -> Settings {
    Settings { log: "warn".to_owned(), otlp_endpoint, sample_ratio: 1.0 }
}

fn identity() -> Identity {
    Identity { program: "test-program".to_owned(), instance: "a".to_owned(), version: "0".to_owned() }
}

/// The errors of a configuration with these variables.
fn errors(log: &str, endpoint: &str) -> String {
    let env = [("SETTLE_TELEMETRY__LOG", log), ("SETTLE_TELEMETRY__OTLP_ENDPOINT", endpoint)];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut reader = Reader::load(None, env.into_iter()).unwrap();
    Settings::read(&mut reader);
    reader.finish().err().map(|errors| errors.to_string()).unwrap_or_default()
}

#[test]
fn the_section_is_checked() {
    let url = "http://127.0.0.1:4318";
    assert_eq!(errors("info,settle_daemon=debug", url), "");
    for wrong in ["", "settle=loud", "info,,=,"] {
        assert!(errors(wrong, url).contains("SETTLE_TELEMETRY__LOG: telemetry.log"), "{wrong} was taken");
    }
    for wrong in ["", "127.0.0.1:4318", "https://user:hunter2@c", "grpc://c:1", "http://"] {
        let errors = errors("info", wrong);
        assert!(errors.contains("SETTLE_TELEMETRY__OTLP_ENDPOINT"), "{wrong} was taken");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    assert_eq!(export::traces_url("http://127.0.0.1:4318/").unwrap(), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(export::traces_url("http://c:1/custom/traces").unwrap(), "http://c:1/custom/traces");
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

    let telemetry = init(&settings(Some(url)), &identity()).unwrap();
    assert!(matches!(init(&settings(None), &identity()), Err(TelemetryError::AlreadySet)));
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
