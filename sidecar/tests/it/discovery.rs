//! Who is a target, and what is said before anything is known.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Mode, Reserved};
use crate::sidecar::{FAST, Running, number, objective, peer};

const PROMPT: Mode = Mode::Delayed(Duration::ZERO);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_known_without_a_daemon() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let nobody = Reserved::new();
    let sidecar = Running::start(nobody.address, FAST).await;
    // Ready all the same: a sidecar never gates the pod.
    assert_eq!(sidecar.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(sidecar.get("/healthz").await.0, 200);
    let state = sidecar.state().await;
    assert_eq!(state["cluster"], Value::Null);
    assert_eq!(state["convergence_seconds"]["p99"], Value::Null);
    assert_eq!(state["conflict_ratio"], Value::Null);
    for (name, status) in [
        ("replication_lag", "unknown"),
        ("conflict_rate", "unknown"),
        ("stale_read_rate", "unknown"),
        ("convergence_p99", "unknown"),
        ("read_inconsistency_rate", "not measured by this version"),
        ("clock_offset", "not measured by this version"),
    ] {
        assert_eq!(objective(&state, name)["status"], status, "{name}");
    }
    for gauge in [
        "settle_probe_convergence_quantile_seconds{quantile=\"0.99\"}",
        "settle_probe_stale_read_ratio",
        "settle_probe_conflict_ratio",
        "settle_probe_canary_keys",
        "settle_probe_peers",
        "settle_probe_last_cycle_timestamp_seconds",
        "settle_probe_threshold_breached{objective=\"replication_lag\"}",
        "settle_probe_threshold_breached{objective=\"clock_offset\"}",
    ] {
        let value = sidecar.metric(gauge).await;
        assert!(value.is_some_and(f64::is_nan), "{gauge} is {value:?}");
    }
    for (series, expected) in [
        ("settle_probe_convergence_seconds_count", 0.0),
        ("settle_probe_convergence_quantile_seconds_count", 0.0),
        ("settle_probe_threshold{objective=\"replication_lag\",unit=\"seconds\"}", 5.0),
        ("settle_probe_threshold{objective=\"stale_read_rate\",unit=\"ratio\"}", 0.1),
        ("settle_probe_objective_samples_total{objective=\"convergence_p99\"}", 0.0),
        ("settle_probe_objective_bad_total{objective=\"conflict_rate\"}", 0.0),
        ("settle_probe_throttled_total{reason=\"budget\"}", 0.0),
        ("settle_config_last_reload_successful{program=\"settle-sidecar\"}", 1.0),
    ] {
        assert_eq!(sidecar.metric(series).await, Some(expected), "{series}");
    }
    // Families whose labels are the peers' names are announced without series.
    let (_, page) = sidecar.get("/metrics").await;
    for family in ["replication_lag_seconds", "visibility_seconds", "canaries_total", "reads_total"] {
        assert!(page.contains(&format!("# TYPE settle_probe_{family} ")), "{family}");
    }
    nobody.open(&cluster);
    sidecar.until("canaries", |state| number(&state["canaries"]["acknowledged"]) >= 1.0).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_stays_until_it_leaves_the_layout() {
    let cluster = Cluster::start(&[PROMPT, PROMPT]).await;
    let sidecar = Running::start(cluster.admin, FAST).await;
    sidecar.until("canaries", |state| number(&state["canaries"]["converged"]) >= 3.0).await;
    assert_eq!(peer(&sidecar.state().await, "n1"), &Value::Null, "the own replica is no peer");
    cluster.peer("n3").set(Mode::Hung);
    cluster.store().set_member("n3", Some("dead"));
    // Gossip's word changes nothing: it is still a target, and it owes.
    let owing = |state: &Value| peer(state, "n3")["lag_seconds"].as_f64().is_some_and(|lag| lag > 2.5);
    sidecar.until("lag of a dead peer", owing).await;
    assert_eq!(sidecar.metric("settle_probe_peers").await, Some(2.0));
    cluster.store().set_member("n3", None);
    sidecar.until("its departure", |state| peer(state, "n3").is_null()).await;
    let (_, page) = sidecar.get("/metrics").await;
    assert!(!page.contains("\"n3\""), "its series go with it");
    assert_eq!(sidecar.metric("settle_probe_peers").await, Some(1.0));
    // It is no longer waited for.
    let converged = number(&sidecar.state().await["canaries"]["converged"]);
    sidecar.until("convergence", |state| number(&state["canaries"]["converged"]) > converged + 3.0).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_peers_take_turns() {
    let cluster = Cluster::start(&[PROMPT; 7]).await;
    let sidecar =
        Running::start(cluster.admin, &format!("{}peers_per_cycle = 2\n", FAST.replace("50ms", "100ms")))
            .await;
    let all_seen = |state: &Value| {
        let peers = state["peers"].as_array().unwrap();
        peers.len() == 7 && peers.iter().all(|peer| number(&peer["canaries"]["converged"]) >= 3.0)
    };
    let state = sidecar.until("every peer's turn", all_seen).await;
    let looks: f64 =
        state["peers"].as_array().unwrap().iter().map(|peer| number(&peer["canaries"]["converged"])).sum();
    // Each canary is looked for at two peers, plus at those that happen to be behind.
    assert!(looks <= number(&state["canaries"]["written"]) * 5.0, "{state:#}");
    // A peer that is behind is looked at in every cycle.
    cluster.peer("n5").set(Mode::Refusing);
    let before = number(&sidecar.state().await["canaries"]["written"]);
    sidecar.until("cycles", |state| number(&state["canaries"]["written"]) >= before + 15.0).await;
    cluster.peer("n5").set(PROMPT);
    let caught_up = |state: &Value| number(&peer(state, "n5")["canaries"]["converged"]) >= 15.0;
    let state = sidecar.until("catching up", caught_up).await;
    assert_eq!(number(&peer(&state, "n5")["canaries"]["expired"]), 0.0);
    sidecar.stop().await;
}

/// With deadlines that a test can wait for.
const SHORT: &str =
    "[probe]\ninterval = \"50ms\"\nkeys = 16\ndeadline = \"700ms\"\nbudget_per_second = 5000\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_an_address_is_a_target_that_cannot_be_reached() {
    let cluster = Cluster::start(&[PROMPT, PROMPT]).await;
    cluster.store().set_address("n3", None);
    let sidecar = Running::start(cluster.admin, SHORT).await;
    sidecar.until("canaries", |state| number(&state["canaries"]["acknowledged"]) >= 1.0).await;
    let lost = |state: &Value| {
        number(&peer(state, "n2")["canaries"]["converged"]) >= 3.0
            && number(&peer(state, "n3")["canaries"]["unreachable"]) >= 3.0
            && number(&peer(state, "n3")["reads"]["error"]) >= 1.0
    };
    let state = sidecar.until("unreachable canaries", lost).await;
    assert_eq!(sidecar.metric("settle_probe_peers").await, Some(2.0));
    assert_eq!(sidecar.metric("settle_probe_peer_up{peer=\"n2\"}").await, Some(1.0));
    assert_eq!(sidecar.metric("settle_probe_peer_up{peer=\"n3\"}").await, Some(0.0));
    let unknown = peer(&state, "n3");
    assert_eq!(unknown["api"], Value::Null);
    assert!(unknown["last_error"].as_str().unwrap().contains("address is not known yet"), "{unknown}");
    assert_eq!(number(&unknown["canaries"]["converged"]) + number(&unknown["canaries"]["expired"]), 0.0);
    let before = number(&unknown["lag_seconds"]);
    assert!(before >= 0.7, "the first canary is still owed: {before}");
    let grown = |state: &Value| number(&peer(state, "n3")["lag_seconds"]) > before + 0.3;
    sidecar.until("a growing lag", grown).await;
    assert_eq!(cluster.peer("n3").requests(), 0);
    // Its address is learned in time.
    cluster.store().set_address("n3", Some(cluster.peer("n3").address));
    let well = |state: &Value| {
        let peer = peer(state, "n3");
        peer["up"] == true && number(&peer["lag_seconds"]) < 0.3 && peer["api"].is_string()
    };
    sidecar.until("its recovery", well).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_once_known_is_kept() {
    let cluster = Cluster::start(&[PROMPT, PROMPT]).await;
    let sidecar = Running::start(cluster.admin, SHORT).await;
    sidecar.until("canaries", |state| number(&state["canaries"]["converged"]) >= 1.0).await;
    // As after a restart of the own replica. The peer that leaves shows that this was heard.
    cluster.store().set_address("n3", None);
    cluster.store().set_member("n2", None);
    sidecar.until("a new layout", |state| peer(state, "n2").is_null()).await;
    let requests = cluster.peer("n3").requests();
    let state = sidecar.until("more reads", |_| cluster.peer("n3").requests() >= requests + 20).await;
    assert_eq!(peer(&state, "n3")["up"], true);
    assert!(peer(&state, "n3")["api"].is_string());
    // It moves: to where n2 was, of all places.
    cluster.store().set_address("n3", Some(cluster.peer("n2").address));
    let moved = cluster.peer("n2").requests();
    sidecar.until("reads at the new address", |_| cluster.peer("n2").requests() > moved + 3).await;
    sidecar.stop().await;
}
