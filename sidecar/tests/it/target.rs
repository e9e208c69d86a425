//! The own replica is silent, refuses, or is somebody else: state, page and metric say so, and say when
//! it is over.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Mode, Reserved};
use crate::sidecar::{FAST, Running, number};

const PROMPT: Mode = Mode::Delayed(Duration::ZERO);

const UP: &str = "settle_probe_target_up";

/// Waits until the target is down; the error must have all these words, and so must the page's first
/// line. Returns the state.
async fn down(sidecar: &Running, words: &[&str]) -> Value {
    let state = sidecar.until("a target that is down", |state| state["target"]["up"] == false).await;
    let target = &state["target"];
    let said = format!("{}. {}", target["last_error"].as_str().unwrap(), target["advice"].as_str().unwrap());
    for word in words {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(number(&target["for_seconds"]) >= 0.0);
    let (_, page) = sidecar.get("/").await;
    let first = page.lines().next().unwrap();
    assert!(first.starts_with("TARGET DOWN for ") && first.ends_with(&said), "{said} is not in\n{page}");
    assert_eq!(sidecar.metric(UP).await, Some(0.0));
    state
}

/// Waits until the target is up, and nothing is said of any trouble.
async fn up(sidecar: &Running) {
    let state = sidecar.until("a target that is up", |state| state["target"]["up"] == true).await;
    assert_eq!(state["target"]["last_error"], Value::Null);
    assert_eq!(state["target"]["advice"], Value::Null);
    let (_, page) = sidecar.get("/").await;
    assert!(page.starts_with("settle-sidecar ") && !page.contains("TARGET"), "{page}");
    assert_eq!(sidecar.metric(UP).await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_silent() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let nobody = Reserved::new();
    let address = nobody.address;
    let sidecar = Running::start(address, FAST).await;
    let words =
        ["does not answer", &address.to_string(), "connection refused", "Start it, or set target.admin"];
    let state = down(&sidecar, &words).await;
    assert_eq!(state["target"]["admin"], format!("http://{address}"));
    assert_eq!(state["target"]["api"], Value::Null);
    let before = number(&state["target"]["for_seconds"]);
    let longer = |state: &Value| number(&state["target"]["for_seconds"]) > before + 0.3;
    sidecar.until("it stays down", longer).await;
    nobody.open(&cluster);
    up(&sidecar).await;
    assert_eq!(sidecar.state().await["target"]["api"], format!("http://{}", cluster.own));
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let sidecar = Running::start(cluster.admin, &format!("{FAST}window = \"10s\"\n")).await;
    sidecar.until("canaries", |state| number(&state["canaries"]["converged"]) >= 1.0).await;
    up(&sidecar).await;
    cluster.store().refusal = Some("the disk is gone");
    let words = ["refuses", "status 503", "the disk is gone", "No canary can be written", "GET /readyz"];
    let state = down(&sidecar, &words).await;
    // That its admin address still answers makes it no better.
    let before = number(&state["traffic"]["writes"]);
    cluster.store().page = crate::cluster::page(1_000, 0);
    let read = |state: &Value| number(&state["traffic"]["writes"]) > before;
    let state = sidecar.until("counters from the admin address", read).await;
    assert_eq!(state["target"]["up"], false);
    cluster.store().refusal = None;
    up(&sidecar).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_what_comes_before_the_first_canary() {
    let cluster = Cluster::start(&[PROMPT]).await;
    cluster.store().refusal = Some("not yet");
    let sidecar = Running::start(cluster.admin, &format!("{FAST}name = \"mine\"\n")).await;
    down(&sidecar, &["refuses", "not yet", "No canary can be written"]).await;
    cluster.store().refusal = None;
    up(&sidecar).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_for_clients_is_not_taken_for_the_admin_address() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let words =
        ["at the wrong address", "the API address of a replica", "Set target.admin to its admin address"];
    never_accepted(&cluster, cluster.own, &words).await;
    // Nor when it is too busy to answer.
    cluster.store().refusal = Some("busy");
    never_accepted(&cluster, cluster.own, &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_else_is_not_taken_for_the_admin_address() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let words = ["at the wrong address", "not the admin address of a replica", "Set target.admin"];
    never_accepted(&cluster, cluster.peer("n2").address, &words).await;
}

async fn never_accepted(cluster: &Cluster, admin: SocketAddr, words: &[&str]) {
    let sidecar = Running::start(admin, FAST).await;
    let state = down(&sidecar, words).await;
    assert_eq!(state["own"], Value::Null);
    assert_eq!(state["peers"], Value::Array(Vec::new()));
    assert_eq!(cluster.store().keys().len(), 0);
    sidecar.stop().await;
}
