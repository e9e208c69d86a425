//! The log's bounds: what they drop makes a replica diverge, aloud and durably, until it has fetched everything; and no
//! write is refused because of them.

use std::time::Instant;

use serde_json::Value;

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, Node, turn, wait_for};

const KEYS: usize = 600;

/// Three nodes with one partition, so that every bound concerns all keys.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(3);
    for node in &mut cluster.nodes {
        node.configuration.literal("cluster.partitions", "1");
    }
    cluster.start_all();
    cluster
}

/// Writes a value to every key, and deletes every tenth.
fn write_all(node: &Node, value: &str) {
    let mut client = node.client();
    for key in 0..KEYS {
        let path = format!("/v1/kv/default/k{key}?level=quorum&timeout=30s");
        if key % 10 == 0 {
            client.delete(&path).expect(204);
        } else {
            client.put(&path, value).expect(204);
        }
    }
}

/// Whether a node holds what [`write_all`] wrote last.
fn holds(node: &Node, value: &str) -> bool {
    let mut client = node.client();
    (0..KEYS).all(|key| {
        let reply = client.get(&format!("/v1/kv/default/k{key}?replica=self"));
        if key % 10 == 0 { reply.status == 404 } else { reply.status == 200 && reply.text() == value }
    })
}

fn lag(node: &Node, peer: &str) -> Value {
    node.admin().get("/v1/lag").expect(200).json()["peers"][peer].clone()
}

/// The partitions of which `node` says in three places that n3, and nobody else, has diverged.
fn diverged(node: &Node) -> [f64; 3] {
    let in_lag = lag(node, "n3")["diverged_partitions"].as_f64().unwrap();
    let in_members = node.member("n3").unwrap()["diverged_partitions"].as_f64().unwrap();
    [in_lag, in_members, node.metrics().expect("settle_partitions{state=\"diverged\"}")]
}

fn dropped(node: &Node, reason: &str) -> f64 {
    node.metrics().expect(&format!("settle_hints_dropped_total{{reason=\"{reason}\"}}"))
}

/// Starts n3 again, and waits until it has everything and is said to.
fn bring_back(cluster: &mut Cluster, value: &str) {
    cluster.nodes[2].start();
    let back = &cluster.nodes[2];
    wait_for("the node has caught up", PATIENCE, || holds(back, value).then_some(()));
    assert!(back.log().contains("comparing the whole partition"), "no log was enough");
    for node in cluster.others(2) {
        wait_for(&format!("{} says so", node.name), PATIENCE, || {
            let known = node.metrics().expect("settle_hints_pending{peer=\"n3\"}") == 0.0;
            (known && diverged(node) == [0.0; 3]).then_some(())
        });
    }
}

#[test]
fn a_log_beyond_its_size_makes_the_absent_replica_diverge_until_it_has_fetched_everything() {
    let _turn = turn::shared();
    let mut cluster = cluster();
    write_all(&cluster.nodes[0], "first");
    for node in &mut cluster.nodes {
        node.configuration.text("hints.max_bytes", "8KiB");
        node.write_configuration();
        // Live: no restart.
        node.admin().post("/-/reload").expect(200);
    }
    cluster.nodes[2].terminate();
    write_all(&cluster.nodes[0], "last");
    for node in cluster.others(2) {
        wait_for(&format!("{} has dropped records", node.name), PATIENCE, || {
            (dropped(node, "bytes") >= KEYS as f64 / 2.0).then_some(())
        });
        assert_eq!(diverged(node), [1.0; 3]);
        for peer in ["n1", "n2"].into_iter().filter(|peer| *peer != node.name) {
            assert_eq!(lag(node, peer)["diverged_partitions"], 0);
        }
        assert!(node.log().contains("the log has reached a bound"), "{}", node.log());
        assert_eq!(dropped(node, "age"), 0.0);
    }
    // What is left is what is pending, and a restart forgets nothing.
    cluster.nodes[0].terminate();
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    assert_eq!(diverged(node), [1.0; 3]);
    cluster.nodes[0].client().put("/v1/kv/default/k1?level=one", "last").expect(204);
    bring_back(&mut cluster, "last");
}

#[test]
fn a_record_is_kept_for_a_replica_that_is_down_until_it_is_too_old() {
    let _turn = turn::shared();
    let mut cluster = cluster();
    write_all(&cluster.nodes[0], "first");
    cluster.nodes[2].terminate();
    write_all(&cluster.nodes[0], "last");
    let written = Instant::now();
    let oldest = |node: &Node| node.metrics().expect("settle_hints_oldest_seconds{peer=\"n3\"}");
    for node in cluster.others(2) {
        wait_for(&format!("{} tells the age of its hints", node.name), PATIENCE, || {
            let age = oldest(node);
            let (least, pending) =
                (written.elapsed().as_secs_f64(), lag(node, "n3")["hints_pending"].clone());
            assert!(pending.as_u64().unwrap() >= KEYS as u64, "{pending}");
            // Whole seconds, and a round of cleaning sees it first.
            (age > 2.0 && age + 1.0 >= least).then_some(())
        });
        assert_eq!((diverged(node), dropped(node, "age")), ([0.0; 3], 0.0));
    }
    for node in &mut cluster.nodes[..2] {
        node.configuration.text("hints.max_age", "1s");
        node.write_configuration();
        node.admin().post("/-/reload").expect(200);
    }
    for node in cluster.others(2) {
        wait_for(&format!("{} has dropped all", node.name), PATIENCE, || {
            (dropped(node, "age") >= KEYS as f64 && oldest(node) == 0.0).then_some(())
        });
        assert_eq!((diverged(node), dropped(node, "bytes")), ([1.0; 3], 0.0));
        assert_eq!(lag(node, "n3")["hints_pending"], 0);
        assert_eq!(lag(node, "n3")["missing_writes"], Value::Null, "nobody knows");
    }
    bring_back(&mut cluster, "last");
}
