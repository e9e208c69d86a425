//! Tests of the common routes.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::config::{ConfigErrors, Reader};
use crate::http::{Limits, bind};
use crate::reload::{Changes, Live};
use crate::shutdown::Shutdown;

async fn own(request: Request) -> Response {
    match request.uri().path() {
        "/v1/own" => text(StatusCode::OK, "own"),
        _ => not_found("GET /v1/own"),
    }
}

/// Serves one request after the other: `"METHOD path"` gives the whole reply.
async fn ask(admin: Admin<impl Handler>, requests: &[&str]) -> Vec<String> {
    let bound = bind(([127, 0, 0, 1], 0).into(), "listen.admin").await.unwrap();
    let (address, shutdown) = (bound.address(), Shutdown::new());
    let task = tokio::spawn(bound.serve(Arc::new(admin), Limits::default(), shutdown.clone()));
    let mut replies = Vec::new();
    for request in requests {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut reply));
        read.await.expect("no reply").unwrap();
        replies.push(reply);
    }
    shutdown.trigger();
    task.await.unwrap();
    replies
}

fn admin(readiness: &Readiness, reloader: Option<Reloader>, metrics: &Metrics) -> Admin<impl Handler> {
    Admin::new(metrics.clone(), readiness.clone(), reloader, own)
}

#[tokio::test]
async fn common_and_own_routes() {
    let metrics = Metrics::new("test", "0", "none").unwrap();
    let readiness = Readiness::new(&[]);
    let requests = [
        "GET /metrics",
        "GET /healthz",
        "GET /v1/own",
        "GET /nowhere",
        "POST /metrics",
        "GET /-/reload",
        "POST /-/reload",
    ];
    let replies = ask(admin(&readiness, None, &metrics), &requests).await;
    let statuses: Vec<&str> = replies.iter().map(|reply| &reply[9..12]).collect();
    assert_eq!(statuses, ["200", "200", "200", "404", "405", "405", "409"]);
    assert!(
        replies[0].contains("content-type: text/plain; version=0.0.4")
            && replies[0].contains("settle_build_info{")
    );
    assert!(replies[4].contains("allow: GET, HEAD"), "{}", replies[4]);
}

#[tokio::test]
async fn readiness_says_which_part_and_why() {
    let metrics = Metrics::new("test", "0", "none").unwrap();
    let readiness = Readiness::new(&["storage", "cluster"]);
    readiness.set("storage", Ok(()));
    let reply = ask(admin(&readiness, None, &metrics), &["GET /readyz"]).await.remove(0);
    assert!(
        reply.starts_with("HTTP/1.1 503") && reply.ends_with("\r\n\r\nnot ready: cluster: starting\n"),
        "{reply}"
    );
    readiness.set("cluster", Ok(()));
    assert!(readiness.is_ready());
    let reply = ask(admin(&readiness, None, &metrics), &["GET /readyz"]).await.remove(0);
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("\r\n\r\nready\n"), "{reply}");
    readiness.fail("echo", "panicked");
    readiness.set("echo", Ok(()));
    let expected = ("echo".to_owned(), "failed: panicked; restart the process".to_owned());
    assert_eq!(readiness.reasons(), [expected]);
}

#[tokio::test]
async fn reload_over_http() {
    let metrics = Metrics::new("test", "0", "none").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    std::fs::write(&file, "[a]\nb = 2\n").unwrap();
    let parse = move || -> Result<u64, ConfigErrors> {
        let mut reader = Reader::load(Some(&file), std::iter::empty())?;
        let value = reader.integer("a.b", 1, 0..=9, "B.");
        reader.finish().map(|()| value)
    };
    let live = Live::new(1);
    let changes = |old: &u64, new: &u64| {
        let key = vec!["a.b".to_owned()];
        let (live, boot) = if *new == 9 { (vec![], key) } else { (key, vec![]) };
        if old == new { Changes::default() } else { Changes { live, boot } }
    };
    let reloader = Reloader::new(&metrics, vec![], live.clone(), parse, changes, |_| {}).unwrap();
    let readiness = Readiness::new(&[]);
    let reload = async |text: &str| {
        std::fs::write(directory.path().join("a.toml"), text).unwrap();
        ask(admin(&readiness, Some(reloader.clone()), &metrics), &["POST /-/reload"]).await.remove(0)
    };
    let good = reload("[a]\nb = 2\n").await;
    assert!(good.starts_with("HTTP/1.1 200") && good.ends_with("reloaded; changed: a.b\n"), "{good}");
    let same = reload("[a]\nb = 2\n").await;
    assert!(same.starts_with("HTTP/1.1 200") && same.ends_with("reloaded; nothing changed\n"), "{same}");
    let wrong = reload("[a]\nb = 20\nc = 1\n").await;
    assert!(
        wrong.starts_with("HTTP/1.1 500") && wrong.contains("20 is not from 0 to 9") && wrong.contains("a.c"),
        "{wrong}"
    );
    let restart = reload("[a]\nb = 9\n").await;
    assert!(
        restart.starts_with("HTTP/1.1 409") && restart.contains("a.b can only change with a restart"),
        "{restart}"
    );
    assert_eq!(**live.load(), 2);
}
