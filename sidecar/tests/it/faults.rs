//! Peers that fall behind, hang, refuse or lie.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, Mode};
use crate::sidecar::{Running, number, objective, peer};

/// Short deadlines, so that canaries expire within a test.
const SETTINGS: &str = "[probe]\ninterval = \"50ms\"\nkeys = 16\ndeadline = \"700ms\"\nbudget_per_second = 5000\n\
    [thresholds]\nreplication_lag = \"1200ms\"\n";

const PROMPT: Mode = Mode::Delayed(Duration::ZERO);

fn lag(state: &Value, name: &str) -> f64 {
    number(&peer(state, name)["lag_seconds"])
}

fn breached(state: &Value) -> bool {
    objective(state, "replication_lag")["breached"] == true
}

/// Lag grows exactly as time passes, whatever expires meanwhile, and is back at once when the peer is.
async fn grows_and_recovers(mode: impl FnOnce() -> Mode, outcome: &str) {
    let cluster = Cluster::start(&[PROMPT, PROMPT]).await;
    let sidecar = Running::start(cluster.admin, SETTINGS).await;
    let caught_up = |state: &Value| number(&state["canaries"]["converged"]) >= 3.0;
    sidecar.until("the first canaries", caught_up).await;
    let bad = cluster.peer("n3");
    bad.set(mode());
    let owing = |state: &Value| lag(state, "n3") > 0.3;
    sidecar.until("a lag", owing).await;
    let before = Instant::now();
    let first = sidecar.state().await;
    let between = Instant::now();
    let counted = |state: &Value| number(&peer(state, "n3")["canaries"][outcome]) >= 3.0 && breached(state);
    sidecar.until(outcome, counted).await;
    let later = Instant::now();
    let second = sidecar.state().await;
    let after = Instant::now();
    let grown = lag(&second, "n3") - lag(&first, "n3");
    assert!(grown >= (later - between).as_secs_f64() - 1e-6, "{grown}");
    assert!(grown <= (after - before).as_secs_f64() + 1e-6, "{grown}");
    // The other peer is none the worse, and nothing counts as converged that did not.
    assert!(lag(&second, "n2") < lag(&second, "n3"));
    assert!(number(&second["canaries"]["incomplete"]) >= 1.0);
    assert!(number(&peer(&second, "n3")["visibility_seconds"]["p99"]) >= 0.7);
    assert!(number(&second["convergence_seconds"]["p99"]) >= 0.7);
    bad.set(PROMPT);
    let well = |state: &Value| lag(state, "n3") < 0.3 && !breached(state) && peer(state, "n3")["up"] == true;
    sidecar.until("recovery", well).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_is_cut_off() {
    grows_and_recovers(|| Mode::CutOff(Instant::now()), "expired").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_hangs() {
    grows_and_recovers(|| Mode::Hung, "unreachable").await;
}

/// Verdict reads at a peer that hangs end as errors, each of them, and do not wait in line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_counted_for_every_canary() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let sidecar = Running::start(cluster.admin, SETTINGS).await;
    sidecar.until("canaries", |state| number(&state["canaries"]["converged"]) >= 3.0).await;
    cluster.peer("n2").set(Mode::Hung);
    let before = sidecar.state().await;
    let unanswered = |state: &Value| number(&peer(state, "n2")["reads"]["error"]) >= 20.0;
    let after = sidecar.until("errors", unanswered).await;
    let acknowledged = |state: &Value| number(&state["canaries"]["acknowledged"]);
    // Those of two seconds are still under way. In line, there would be one error in two seconds, or
    // forty canaries.
    let canaries = acknowledged(&after) - acknowledged(&before);
    assert!(canaries < 400.0, "20 errors in {canaries} canaries");
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_refuses() {
    grows_and_recovers(|| Mode::Refusing, "unreachable").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_takes_a_value_back() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let sidecar = Running::start(cluster.admin, SETTINGS).await;
    let lap = |state: &Value| number(&state["canaries"]["converged"]) >= 20.0;
    sidecar.until("a lap of the ring", lap).await;
    assert_eq!(sidecar.state().await["regressions"], 0);
    // From here on it holds what it held half a second ago.
    let past = Instant::now().checked_sub(Duration::from_millis(500)).unwrap();
    cluster.peer("n2").set(Mode::CutOff(past));
    sidecar.until("regressions", |state| number(&state["regressions"]) >= 1.0).await;
    let violations = "settle_probe_guarantee_violations_total{guarantee=\"monotonic_reads\"}";
    assert!(sidecar.metric(violations).await.unwrap() >= 1.0);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_replica_that_refuses() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let sidecar = Running::start(cluster.admin, SETTINGS).await;
    sidecar.until("a canary", |state| number(&state["canaries"]["converged"]) >= 1.0).await;
    cluster.store().refusal = Some("busy");
    let aborted = |state: &Value| number(&peer(state, "n2")["canaries"]["aborted"]) >= 2.0;
    let state = sidecar.until("aborted canaries", aborted).await;
    assert!(number(&state["throttled"]["shedding"]) >= 1.0);
    assert_eq!(number(&peer(&state, "n2")["canaries"]["expired"]), 0.0);
    // Nothing that was refused is owed.
    sidecar.until("no lag", |state| lag(state, "n2") == 0.0).await;
    cluster.store().refusal = None;
    let converged = number(&state["canaries"]["converged"]);
    sidecar.until("canaries again", |state| number(&state["canaries"]["converged"]) > converged).await;
    sidecar.stop().await;
}
