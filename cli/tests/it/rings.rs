//! A sidecar in a cluster with more nodes than replicas of a key.

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::exposition::value;
use crate::support::{eventually, http};

#[test]
fn canaries_are_looked_for_only_where_they_belong() {
    let cluster = Cluster::start_of(6);
    let peers: Vec<String> = (2..=6).map(|number| format!("n{number}")).collect();
    // With 50 keys on three of six nodes each, everybody shares some with n1.
    eventually("every peer has shown canaries", || {
        let page = http::get(cluster.sidecar, "/metrics")?;
        let reads = reads(&page);
        let shown = |peer: &String| {
            reads.iter().any(|(name, result, n)| name == peer && *result == "fresh" && *n > 5.0)
        };
        if peers.iter().all(shown) { Ok(()) } else { Err(format!("{reads:?}")) }
    });
    let page = http::get(cluster.sidecar, "/metrics").unwrap();
    let bad: Vec<_> =
        reads(&page).into_iter().filter(|(_, result, n)| *result != "fresh" && *n > 0.0).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let state: Value = serde_json::from_str(&http::get(cluster.sidecar, "/v1/state").unwrap()).unwrap();
    assert_eq!(state["canaries"]["incomplete"], 0, "{state}");

    // What the sidecar asks for holds for any key: three replicas, and they are those that say so themselves.
    let layout = http::get(cluster.nodes[3].admin, "/v1/layout?bucket=default&key=a%2Fb&key=c").unwrap();
    let layout: Value = serde_json::from_str(&layout).unwrap();
    for key in ["a%2Fb", "c"] {
        let told = layout["replicas"][key].as_array().unwrap();
        assert_eq!(told.len(), 3, "{layout}");
        for (index, node) in cluster.nodes.iter().enumerate() {
            let own =
                http::request("GET", node.api, &format!("/v1/kv/default/{key}?replica=self")).unwrap().0;
            let named = told.contains(&Value::from(format!("n{}", index + 1)));
            assert_eq!(own, if named { 404 } else { 421 }, "n{} {layout}", index + 1);
        }
    }
    let alone = http::request("GET", cluster.nodes[3].admin, "/v1/layout?key=c").unwrap();
    assert_eq!(alone.0, 400, "{}", alone.1);
}

/// Verdict reads by peer and result.
fn reads(page: &str) -> Vec<(String, &'static str, f64)> {
    let mut reads = Vec::new();
    for peer in (2..=6).map(|number| format!("n{number}")) {
        for result in ["fresh", "stale", "missing", "error"] {
            let series = format!("settle_probe_reads_total{{peer=\"{peer}\",result=\"{result}\"}}");
            reads.extend(value(page, &series).map(|count| (peer.clone(), result, count)));
        }
    }
    reads
}
