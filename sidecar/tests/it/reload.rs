//! Live changes of the configuration.

use std::time::Duration;

use crate::cluster::{Cluster, Mode};
use crate::sidecar::{FAST, Running, number, objective};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thresholds_and_probe_settings_change_live() {
    let cluster = Cluster::start(&[Mode::Delayed(Duration::from_millis(20))]).await;
    let sidecar = Running::start(cluster.admin, FAST).await;
    // Fewer are shown, but not judged.
    let enough = |state: &serde_json::Value| number(&objective(state, "convergence_p99")["samples"]) >= 10.0;
    let state = sidecar.until("enough samples", enough).await;
    assert_eq!(objective(&state, "convergence_p99")["breached"], false);
    // The same samples against a stricter threshold.
    let strict = format!("{FAST}[thresholds]\nconvergence_p99 = \"10ms\"\n");
    assert_eq!(
        sidecar.reload(&strict).await,
        (200, "reloaded; changed: thresholds.convergence_p99\n".to_owned())
    );
    let state = sidecar.state().await;
    assert_eq!(objective(&state, "convergence_p99")["breached"], true);
    assert_eq!(objective(&state, "convergence_p99")["status"], "breached");
    let (_, page) = sidecar.get("/").await;
    assert!(page.contains("\nconvergence_p99: BREACHED, "), "{page}");
    let threshold = "settle_probe_threshold{objective=\"convergence_p99\",unit=\"seconds\"}";
    assert_eq!(sidecar.metric(threshold).await, Some(0.01));
    let breached = "settle_probe_threshold_breached{objective=\"convergence_p99\"}";
    assert_eq!(sidecar.metric(breached).await, Some(1.0));
    // Samples taken from now on are bad ones.
    sidecar.until("bad samples", |state| number(&state["canaries"]["written"]) >= 30.0).await;
    let bad = "settle_probe_objective_bad_total{objective=\"convergence_p99\"}";
    assert!(sidecar.metric(bad).await.unwrap() >= 1.0);
    // An interval of minutes: not one canary more, apart from the one under way.
    let slow = FAST.replace("50ms", "4m").replace("keys = 400", "keys = 16");
    assert_eq!(sidecar.reload(&slow).await.0, 200);
    let written = number(&sidecar.state().await["canaries"]["written"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(number(&sidecar.state().await["canaries"]["written"]) <= written + 1.0);
    // And back: it does not take the minutes.
    assert_eq!(sidecar.reload(FAST).await.0, 200);
    sidecar.until("canaries", |state| number(&state["canaries"]["written"]) >= written + 5.0).await;
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_as_a_whole() {
    let cluster = Cluster::start(&[Mode::Delayed(Duration::ZERO)]).await;
    let sidecar = Running::start(cluster.admin, FAST).await;
    let successful = "settle_config_last_reload_successful{program=\"settle-sidecar\"}";
    let threshold = "settle_probe_threshold{objective=\"replication_lag\",unit=\"seconds\"}";
    let wrong = format!("{FAST}[thresholds]\nreplication_lag = \"9s\"\nreplicaton_lag = \"1s\"\n");
    let (status, body) = sidecar.reload(&wrong).await;
    assert_eq!(status, 500);
    assert!(body.contains("did you mean thresholds.replication_lag?"), "{body}");
    assert_eq!(sidecar.metric(successful).await, Some(0.0));
    assert_eq!(sidecar.metric(threshold).await, Some(5.0));
    let boot = format!("{FAST}name = \"other\"\n[thresholds]\nreplication_lag = \"9s\"\n");
    let (status, body) = sidecar.reload(&boot).await;
    assert_eq!(status, 409);
    assert!(body.contains("probe.name can only change with a restart"), "{body}");
    assert_eq!(sidecar.metric(threshold).await, Some(5.0));
    let good = format!("{FAST}[thresholds]\nreplication_lag = \"9s\"\n");
    assert_eq!(sidecar.reload(&good).await.0, 200);
    assert_eq!(sidecar.metric(successful).await, Some(1.0));
    assert_eq!(sidecar.metric(threshold).await, Some(9.0));
    sidecar.stop().await;
}
