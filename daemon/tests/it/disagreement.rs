//! Nodes that declare different buckets say so, in their logs and to operators, and go on.

use serde_json::json;

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, turn, wait_for};

#[test]
fn buckets_that_differ_are_told_by_both_nodes() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(2);
    cluster.nodes[0].configuration.bucket("notes", "siblings").bucket("mine", "lww").bucket("same", "lww");
    cluster.nodes[1].configuration.bucket("notes", "lww").bucket("same", "lww");
    cluster.start_all();
    let rules = |resolver: &str| json!({ "type": "register", "resolver": resolver });
    let told = |index: usize| {
        wait_for("the difference is told", PATIENCE, || {
            let status = cluster.nodes[index].admin().get("/v1/status").expect(200).json();
            let told = status["bucket_mismatches"].as_array().unwrap().clone();
            (!told.is_empty()).then_some(told)
        })
    };
    assert_eq!(
        told(0),
        [
            json!({ "peer": "n2", "bucket": "mine", "here": rules("lww"), "there": null }),
            json!({ "peer": "n2", "bucket": "notes", "here": rules("siblings"), "there": rules("lww") }),
        ]
    );
    assert_eq!(told(1)[1]["here"], rules("lww"));
    for (node, peer) in [(0, "n2"), (1, "n1")] {
        let line = wait_for("an error in the log", PATIENCE, || {
            let log = cluster.nodes[node].log();
            log.lines().find(|line| line.contains("declare a bucket differently")).map(str::to_owned)
        });
        for part in ["ERROR", peer, "notes", "siblings", "lww"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        cluster.nodes[node].wait_log(0, "lacks buckets");
        let log = cluster.nodes[node].log();
        assert!(!log.contains("\"bucket\":\"mine\"") && !log.contains("\"bucket\":\"same\""), "{log}");
    }
    // Nothing is refused.
    cluster.nodes[0].client().put("/v1/kv/notes/k?level=all", "v").expect(204);
}

#[test]
fn nodes_that_agree_have_nothing_to_tell() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(2);
    for node in &mut cluster.nodes {
        node.configuration.bucket("notes", "siblings");
    }
    cluster.start_all();
    for node in &cluster.nodes {
        assert_eq!(node.admin().get("/v1/status").expect(200).json()["bucket_mismatches"], json!([]));
        assert!(!node.log().contains("[[bucket]]"), "{}", node.log());
    }
}

/// Whoever is refused tries again every second: the log says it once in a while.
#[test]
fn a_refusal_that_repeats_is_one_line() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(2);
    cluster.nodes[1].configuration.literal("cluster.partitions", "64");
    for node in &mut cluster.nodes {
        node.start();
    }
    let refusals = |index: usize| {
        let log = cluster.nodes[index].log();
        log.lines().filter(|line| line.contains("into 64") && line.contains("into 128")).count()
    };
    wait_for("both say that they do not fit", PATIENCE, || {
        (refusals(0) > 0 && refusals(1) > 0).then_some(())
    });
    // The pause between two attempts is at most a second.
    std::thread::sleep(std::time::Duration::from_secs(3));
    // One for each direction.
    for index in 0..2 {
        assert!(refusals(index) <= 2, "{}", cluster.nodes[index].log());
    }
}
