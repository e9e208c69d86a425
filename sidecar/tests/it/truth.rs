//! Are the figures true? Every bound here is one that the same run gives, so that a slow machine
//! does not matter.

use std::time::Duration;

use crate::cluster::{Cluster, Mode};
use crate::sidecar::{FAST, Running, number, peer};

const DELAY: Duration = Duration::from_millis(300);

/// Canaries per run; up to a hundred, the 99th percentile is the maximum.
const CANARIES: f64 = 40.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visibility_is_the_real_one() {
    let cluster = Cluster::start(&[Mode::Delayed(Duration::ZERO), Mode::Delayed(DELAY)]).await;
    let sidecar = Running::start(cluster.admin, FAST).await;
    let done =
        |state: &serde_json::Value| peer(state, "n3")["canaries"]["converged"].as_f64() >= Some(CANARIES);
    let state = sidecar.until("canaries at n3", done).await;
    let (fast, slow) = (peer(&state, "n2"), peer(&state, "n3"));
    let counts = [fast, slow].map(|peer| number(&peer["visibility_seconds"]["count"]));
    assert!(counts.iter().all(|count| *count <= 100.0), "more than the percentiles are good for");
    let delay = DELAY.as_secs_f64();
    // A canary's clock starts before the fake takes it in, and no read shows it before the delay is over.
    assert!(number(&slow["visibility_seconds"]["p50"]) >= delay);
    // At the peer without delay the same canaries took at least from the start until they were taken
    // in; everything beyond that and the delay is the probe's resolution.
    let most =
        delay + number(&fast["visibility_seconds"]["p99"]) + number(&slow["resolution_seconds"]["p99"]);
    assert!(number(&slow["visibility_seconds"]["p99"]) <= most, "{slow:#}\n{fast:#}");
    // Convergence is the slower of the two.
    let convergence = &state["convergence_seconds"];
    assert!(number(&convergence["p50"]) >= number(&slow["visibility_seconds"]["p50"]).min(delay));
    assert!(number(&convergence["p99"]) >= number(&slow["visibility_seconds"]["p99"]).min(delay));
    // Verdict reads begin within one interval of the acknowledgement, long before the delay is over.
    assert_eq!(number(&fast["stale_read_ratio"]), 0.0);
    assert_eq!(number(&slow["stale_read_ratio"]), 1.0);
    // The first lap finds nothing rather than something old.
    assert!(number(&slow["reads"]["missing"]) > 0.0);
    let reads = ["fresh", "stale", "missing"].map(|result| number(&slow["reads"][result]));
    assert_eq!(number(&slow["reads"]["error"]), 0.0);
    assert!(reads.iter().sum::<f64>() > 0.0);
    assert_eq!(state["regressions"], 0);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_say_what_the_state_says() {
    let cluster = Cluster::start(&[Mode::Delayed(Duration::from_millis(5)); 2]).await;
    let sidecar = Running::start(cluster.admin, FAST).await;
    let state = sidecar.until("some canaries", |state| number(&state["canaries"]["converged"]) >= 20.0).await;
    assert_eq!(state["own"], "n1");
    assert_eq!(state["cluster"], "fakes");
    assert_eq!(number(&state["canaries"]["aborted"]), 0.0);
    assert_eq!(number(&state["canaries"]["incomplete"]), 0.0);
    let earlier = |series: &'static str| async { sidecar.metric(series).await.unwrap() };
    let converged = earlier("settle_probe_canaries_total{outcome=\"converged\",peer=\"n2\"}").await;
    assert!(converged >= 20.0);
    assert!(earlier("settle_probe_visibility_seconds_count{peer=\"n2\"}").await >= converged);
    assert!(earlier("settle_probe_convergence_seconds_count").await >= 20.0);
    let median = earlier("settle_probe_convergence_quantile_seconds{quantile=\"0.5\"}").await;
    assert!(median >= 0.005);
    assert_eq!(earlier("settle_probe_peers").await, 2.0);
    assert_eq!(earlier("settle_probe_peer_up{peer=\"n3\"}").await, 1.0);
    assert!(earlier("settle_probe_last_cycle_timestamp_seconds").await > 1.0e9);
    assert!(earlier("settle_probe_objective_samples_total{objective=\"replication_lag\"}").await > 0.0);
    let (status, page) = sidecar.get("/").await;
    assert_eq!(status, 200);
    assert!(page.starts_with("settle-sidecar "), "{page}");
    for expected in [
        "beside n1 of fakes",
        "n2 ",
        "n3 ",
        "replication_lag: within",
        "clock_offset: not measured by this version",
        "read_inconsistency_rate: not measured by this version",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    // Reads are few: tens per canary at most.
    let written = number(&sidecar.state().await["canaries"]["written"]);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let requests = cluster.peer("n2").requests() as f64;
    assert!(requests <= (written + 1.0) * 40.0, "{requests} requests for {written} canaries");
    sidecar.stop().await;
}
