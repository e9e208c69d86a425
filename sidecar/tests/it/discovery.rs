//! Who is a target, and what is said before anything is known.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Mode, Reserved};
use crate::sidecar::{FAST, Running, number, peer};

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
