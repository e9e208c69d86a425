//! Three nodes that find each other and serve the same data through every one of them.

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, turn, wait_for};

#[test]
fn every_node_serves_what_any_node_took() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    for (at, writer) in cluster.nodes.iter().enumerate() {
        for level in ["quorum", "all"] {
            let path = format!("/v1/kv/default/{level}-{at}?level={level}");
            writer.client().put(&path, format!("from {at}")).expect(204);
            for reader in &cluster.nodes {
                // A quorum read meets every quorum write, and a read at all meets everything.
                assert_eq!(reader.client().get(&path).expect(200).text(), format!("from {at}"));
            }
        }
        // Whoever acknowledged a write at all has it; so has each replica by itself.
        for reader in &cluster.nodes {
            let own = format!("/v1/kv/default/all-{at}?replica=self");
            assert_eq!(reader.client().get(&own).expect(200).text(), format!("from {at}"));
        }
    }
    for (at, node) in cluster.nodes.iter().enumerate() {
        let path = format!("/v1/kv/default/all-{at}?level=all");
        let elsewhere = &cluster.nodes[(at + 1) % 3];
        elsewhere.client().delete(&path).expect(204);
        node.client().get(&path).problem(404, "no-value");
        for replica in &cluster.nodes {
            replica.client().get(&format!("/v1/kv/default/all-{at}?replica=self")).problem(404, "no-value");
        }
    }
}

#[test]
fn a_write_at_one_reaches_the_others_without_being_read() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    cluster.nodes[0].client().put("/v1/kv/default/k?level=one", "v").expect(204);
    for node in &cluster.nodes {
        wait_for(&format!("{} holds the write", node.name), PATIENCE, || {
            let reply = node.client().get("/v1/kv/default/k?replica=self");
            (reply.status == 200).then(|| assert_eq!(reply.text(), "v"))
        });
    }
    for node in &cluster.nodes {
        assert_eq!(node.metrics().expect("settle_writes_total{bucket=\"default\"}"), 1.0, "{}", node.name);
        assert_eq!(node.metrics().expect("settle_keys"), 1.0, "{}", node.name);
    }
}

#[test]
fn the_admin_calls_agree_on_who_is_there() {
    let _turn = turn::shared();
    let cluster = Cluster::start(3);
    for node in &cluster.nodes {
        let status = node.admin().get("/v1/status").expect(200).json();
        assert_eq!((&status["name"], &status["ready"]), (&node.name.clone().into(), &true.into()));
        assert_eq!(node.admin().get("/healthz").expect(200).text(), "ok\n");
        for other in &cluster.nodes {
            let member = node.member(&other.name).unwrap();
            assert_eq!(member["api"], other.api.to_string());
            assert_eq!(member["admin"], other.admin.to_string());
            assert_eq!(member["peer"], other.peer.to_string());
            let expected = if other.name == node.name { "self" } else { "alive" };
            assert_eq!(member["state"], expected);
            // A node is no peer of itself.
            let up = node.metrics().value(&format!("settle_peer_up{{peer=\"{}\"}}", other.name));
            assert_eq!(up, (other.name != node.name).then_some(1.0));
        }
        assert_eq!(node.metrics().expect("settle_members{state=\"alive\"}"), 3.0);
        wait_for(&format!("{} has proofs from both", node.name), PATIENCE, || {
            let lag = node.admin().get("/v1/lag").expect(200).json();
            let peers = lag["peers"].as_object().unwrap().clone();
            assert_eq!(peers.len(), 2, "{lag}");
            peers
                .values()
                .all(|peer| peer["proven_seconds"].is_f64() && peer["missing_writes"] == 0)
                .then_some(())
        });
    }
}

#[test]
fn a_restarted_node_has_its_data_and_its_name() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    cluster.nodes[1].client().put("/v1/kv/default/k?level=quorum", "v").expect(204);
    let before = cluster.nodes[1].admin().get("/v1/status").json();
    cluster.nodes[1].terminate();
    cluster.start_all();
    let after = cluster.nodes[1].admin().get("/v1/status").json();
    assert_eq!(before["node_id"], after["node_id"]);
    assert_ne!(before["epoch"], after["epoch"]);
    assert_eq!(cluster.nodes[1].client().get("/v1/kv/default/k?replica=self").expect(200).text(), "v");
    for node in &cluster.nodes {
        assert_eq!(node.metrics().expect("settle_members{state=\"alive\"}"), 3.0, "{}", node.name);
    }
}

#[test]
fn port_zero_is_any_port_and_the_real_one_is_logged() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    let node = &mut cluster.nodes[0];
    for listener in ["api", "peer", "admin"] {
        node.configuration.text(&format!("listen.{listener}"), "127.0.0.1:0");
    }
    node.configuration.literal("cluster.seeds", "[]");
    node.spawn();
    let line = wait_for("the ports are logged", PATIENCE, || {
        let log = node.log();
        let line = log.lines().find(|line| line.contains("\"listening\""))?;
        serde_json::from_str::<serde_json::Value>(line).ok()
    });
    let address = |listener: &str| line[listener].as_str().unwrap().parse().unwrap();
    (node.api, node.admin) = (address("api"), address("admin"));
    node.wait_answering();
    wait_for("the cluster is born", PATIENCE, || (node.admin().get("/readyz").status == 200).then_some(()));
    node.client().put("/v1/kv/default/k", "v").expect(204);
    let peer: std::net::SocketAddr = address("peer");
    assert_ne!(peer.port(), 0);
    assert_eq!(node.member("n1").unwrap()["peer"], peer.to_string());
}
