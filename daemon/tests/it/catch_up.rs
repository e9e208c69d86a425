//! A node that was away fetches what it missed from the others' logs: each key once from each peer at the most, and
//! nothing else.

use std::net::SocketAddr;

use crate::support::wait::PATIENCE;
use crate::support::{Client, Cluster, Node, turn, wait_for};

const KEYS: usize = 2_000;
const CLIENTS: usize = 8;

/// Writes a value to every key, or deletes every tenth of them.
fn write_all(addresses: &[SocketAddr], value: &str, with_deletes: bool) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let address = addresses[client % addresses.len()];
            scope.spawn(move || {
                let mut calls = Client::new(address);
                for key in (client..KEYS).step_by(CLIENTS) {
                    let path = format!("/v1/kv/default/k{key}?level=quorum&timeout=30s");
                    if with_deletes && key % 10 == 0 {
                        calls.delete(&path).expect(204);
                    } else {
                        calls.put(&path, value).expect(204);
                    }
                }
            });
        }
    });
}

/// How many keys a node holds as the last round left them.
fn right(node: &Node) -> usize {
    let mut client = node.client();
    let mut is_right = |key: usize| {
        let reply = client.get(&format!("/v1/kv/default/k{key}?replica=self"));
        if key.is_multiple_of(10) {
            reply.status == 404
        } else {
            reply.status == 200 && reply.text() == "last"
        }
    };
    (0..KEYS).filter(|key| is_right(*key)).count()
}

fn entries(node: &Node, direction: &str) -> f64 {
    node.metrics().expect(&format!("settle_anti_entropy_entries_total{{direction=\"{direction}\"}}"))
}

#[test]
fn a_node_that_missed_two_thousand_keys_fetches_just_those() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    let all: Vec<_> = cluster.nodes.iter().map(|node| node.api).collect();
    write_all(&all, "first", false);
    cluster.nodes[2].terminate();
    write_all(&all[..2], "overwritten", false);
    write_all(&all[..2], "last", true);
    for (node, other) in [(&cluster.nodes[0], "n2"), (&cluster.nodes[1], "n1")] {
        // That the log keeps them is what the absent node lives on.
        let hints = node.metrics().expect("settle_hints_pending{peer=\"n3\"}");
        assert!(hints >= KEYS as f64, "{}: {hints} hints", node.name);
        wait_for(&format!("{} keeps nothing for {other}", node.name), PATIENCE, || {
            let hints = node.metrics().expect(&format!("settle_hints_pending{{peer=\"{other}\"}}"));
            (hints == 0.0).then_some(())
        });
    }
    let sent_before: f64 = cluster.running().map(|node| entries(node, "sent")).sum();
    cluster.nodes[2].start();
    let back = &cluster.nodes[2];
    wait_for("the node has caught up", PATIENCE, || (right(back) == KEYS).then_some(()));
    let received = entries(back, "received");
    // Two peers may send the same key at the same time, but each sends it once though it was written twice.
    assert!((KEYS as f64..=2.0 * KEYS as f64).contains(&received), "{received} entries");
    let sent: f64 = cluster.others(2).map(|node| entries(node, "sent")).sum::<f64>() - sent_before;
    assert_eq!(sent, received);
    assert!(back.metrics().expect("settle_anti_entropy_rounds_total{result=\"exchanged\"}") >= 1.0);
    assert!(!back.log().contains("comparing the whole partition"), "the logs were enough");
    for node in cluster.others(2) {
        wait_for(&format!("{} forgets what n3 has now", node.name), PATIENCE, || {
            let page = node.metrics();
            let gone = page.expect("settle_hints_pending{peer=\"n3\"}") == 0.0;
            (gone && page.expect("settle_log_records") == 0.0).then_some(())
        });
    }
    assert_eq!(back.metrics().expect("settle_keys"), (KEYS - KEYS / 10) as f64);
}

#[test]
fn an_idle_cluster_exchanges_nothing() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    for node in &cluster.nodes {
        node.client().put("/v1/kv/default/k?level=all", "v").expect(204);
    }
    for node in &cluster.nodes {
        let equal = || node.metrics().expect("settle_anti_entropy_rounds_total{result=\"equal\"}");
        let before = equal();
        wait_for(&format!("{} has compared itself twice", node.name), PATIENCE, || {
            (equal() >= before + 2.0).then_some(())
        });
        assert_eq!(entries(node, "received"), 0.0, "{}", node.name);
    }
}
