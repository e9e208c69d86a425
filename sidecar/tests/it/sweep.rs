//! What happens to keys that nobody overwrites any more.

use std::time::Duration;

use crate::cluster::{Cluster, Mode};
use crate::sidecar::{Running, number};

const PROMPT: Mode = Mode::Delayed(Duration::ZERO);

const NAMED: &str = "[probe]\ninterval = \"50ms\"\nkeys = 16\ndeadline = \"700ms\"\nbudget_per_second = 5000\nname = \"mine\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_own_keys_and_silent_rings_go() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let value =
        |seq: u64, silent: u64| format!("settle-canary/1 run=00000000000000ff seq={seq} silent_ms={silent}");
    // An earlier run of the same name had a larger ring.
    cluster.store().put("mine~99", &value(7, 1));
    cluster.store().put("mine~3", &value(8, 1));
    // Of two others one is silent for long enough, by its own word.
    cluster.store().put("silent~0", &value(1, 100));
    cluster.store().put("silent~1", &value(2, 100));
    cluster.store().put("patient~0", &value(1, 3_600_000));
    // Names that only begin alike are not the own one.
    cluster.store().put("mine-too~0", &value(1, 3_600_000));
    let sidecar = Running::start(cluster.admin, NAMED).await;
    let count = |keys: &[String], prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
    let settled = |state: &serde_json::Value| {
        let keys = cluster.store().keys();
        count(&keys, "silent~") == 0 && count(&keys, "mine~") == 16 && number(&state["canary_keys"]) >= 16.0
    };
    sidecar.until("the sweep", settled).await;
    let keys = cluster.store().keys();
    assert!(!keys.contains(&"mine~99".to_owned()));
    assert_eq!((count(&keys, "patient~"), count(&keys, "mine-too~")), (1, 1));
    sidecar.until("the count", |state| number(&state["canary_keys"]) == 18.0).await;
    // What the earlier run left is not mistaken for a contradiction.
    assert_eq!(sidecar.state().await["regressions"], 0);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_ring_leaves_no_keys_and_no_debts() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let sidecar = Running::start(cluster.admin, NAMED).await;
    sidecar.until("a lap", |state| number(&state["canaries"]["converged"]) >= 20.0).await;
    assert_eq!(cluster.store().keys().len(), 16);
    let (status, body) = sidecar.reload(&NAMED.replace("keys = 16", "keys = 14")).await;
    assert_eq!(status, 200, "{body}");
    sidecar.until("fewer keys", |_| cluster.store().keys().len() == 14).await;
    let before = number(&sidecar.state().await["canaries"]["converged"]);
    sidecar.until("more canaries", |state| number(&state["canaries"]["converged"]) > before + 20.0).await;
    sidecar.until("no lag", |state| number(&state["peers"][0]["lag_seconds"]) == 0.0).await;
    sidecar.stop().await;
}
