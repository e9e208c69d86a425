//! Conflicts of real traffic, from the own replica's counters.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Mode, page};
use crate::sidecar::{Running, number, objective};

const SETTINGS: &str = "[probe]\nwindow = \"10s\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflict_ratio_is_that_of_the_window() {
    let cluster = Cluster::start(&[Mode::Delayed(Duration::ZERO)]).await;
    // What was counted before the sidecar came is not its business.
    cluster.store().page = page(1_000, 900);
    let sidecar = Running::start(cluster.admin, SETTINGS).await;
    sidecar.until("a second reading", |state| state["conflict_ratio"] == 0.0).await;
    cluster.store().page = page(1_200, 903);
    let state = sidecar.until("the change", |state| state["conflict_ratio"] == 0.015).await;
    assert_eq!(state["traffic"], serde_json::json!({ "writes": 200, "conflicts": 3 }));
    assert_eq!(objective(&state, "conflict_rate")["breached"], true);
    assert_eq!(sidecar.metric("settle_probe_conflict_ratio").await, Some(0.015));
    let samples = sidecar.metric("settle_probe_objective_samples_total{objective=\"conflict_rate\"}").await;
    assert_eq!(samples, Some(200.0));
    let bad = sidecar.metric("settle_probe_objective_bad_total{objective=\"conflict_rate\"}").await;
    assert_eq!(bad, Some(3.0));
    // The replica restarts, and counts anew.
    cluster.store().page = page(100, 0);
    let state = sidecar.until("the restart", |state| state["conflict_ratio"] == 0.01).await;
    assert_eq!(number(&state["traffic"]["writes"]), 300.0);
    assert_eq!(objective(&state, "conflict_rate")["breached"], false);
    // Without counters nothing new is known, and after the window nothing at all.
    cluster.store().page = "up 1\n".to_owned();
    sidecar.until("nothing known", |state| state["conflict_ratio"] == Value::Null).await;
    sidecar.stop().await;
}
