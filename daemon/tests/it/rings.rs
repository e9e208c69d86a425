//! More nodes than replicas: each key lies on some of them, and every node serves all keys.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::node::Node;
use crate::support::wait::PATIENCE;
use crate::support::{Cluster, turn, wait_for};

const KEYS: usize = 40;

fn path(key: usize, query: &str) -> String {
    format!("/v1/kv/default/k{key}?{query}")
}

/// The nodes that hold a key, as they say themselves.
fn holders(cluster: &Cluster, key: usize) -> Vec<String> {
    let held = |node: &&Node| match node.client().get(&path(key, "replica=self")).status {
        200 => true,
        421 => false,
        other => panic!("{other}"),
    };
    cluster.running().filter(held).map(|node| node.name.clone()).collect()
}

fn layout_version(node: &Node) -> Value {
    node.admin().get("/v1/members").expect(200).json()["layout_version"].clone()
}

#[test]
fn five_nodes_hold_three_copies_of_each_key_and_each_serves_all() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(5);
    for key in 0..KEYS {
        let writer = &cluster.nodes[key % 5];
        writer.client().put(&path(key, "level=all"), format!("v{key}")).expect(204);
    }
    let mut sets = BTreeSet::new();
    for key in 0..KEYS {
        let holders = holders(&cluster, key);
        assert_eq!(holders.len(), 3, "k{key}: {holders:?}");
        sets.insert(holders);
        for node in &cluster.nodes {
            for level in ["one", "quorum", "all"] {
                let reply = node.client().get(&path(key, &format!("level={level}")));
                assert_eq!(reply.expect(200).text(), format!("v{key}"), "{} {level}", node.name);
            }
        }
    }
    assert!(sets.len() > 5, "{sets:?}");
    assert!(cluster.nodes.iter().all(|node| layout_version(node) == 1));

    // A node that is gone takes no more than its copies with it.
    cluster.nodes[4].kill();
    wait_for("the others have noticed", PATIENCE, || {
        let page = cluster.nodes[0].admin().get("/v1/members").json();
        let members = page["members"].as_array().unwrap();
        members.iter().any(|member| member["name"] == "n5" && member["up"] == false).then_some(())
    });
    for key in 0..KEYS {
        let node = &cluster.nodes[key % 4];
        node.client().put(&path(key, "level=quorum"), "new").expect(204);
        assert_eq!(node.client().get(&path(key, "level=quorum")).expect(200).text(), "new");
        node.client().delete(&path(key, "level=quorum")).expect(204);
        cluster.nodes[(key + 1) % 4].client().get(&path(key, "level=quorum")).problem(404, "no-value");
    }
}

#[test]
fn every_node_lists_all_keys() {
    let _turn = turn::shared();
    let cluster = Cluster::start(5);
    for key in 0..KEYS {
        cluster.nodes[0].client().put(&path(key, "level=all"), "v").expect(204);
    }
    let expected: BTreeSet<String> = (0..KEYS).map(|key| format!("k{key}")).collect();
    for node in &cluster.nodes {
        let (mut found, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let page =
                node.client().get(&format!("/v1/keys/default?prefix=k&limit=7{cursor}")).expect(200).json();
            for key in page["keys"].as_array().unwrap() {
                assert!(found.insert(key.as_str().unwrap().to_owned()), "twice: {key}");
            }
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{}", node.name);
    }
}

#[test]
fn what_a_replica_answers_comes_back_whole_through_a_node_that_is_none() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(4);
    for node in &mut cluster.nodes {
        node.configuration.bucket("s", "siblings").literal("cluster.replication", "1");
    }
    cluster.start_all();
    for key in 0..8 {
        let path = format!("/v1/kv/s/k{key}");
        for node in &cluster.nodes {
            node.client().put(&path, node.name.clone()).expect(204);
        }
        for node in &cluster.nodes {
            let several = node.client().get(&path).expect(300);
            assert_eq!(several.json()["siblings"].as_array().unwrap().len(), 4);
            assert_eq!(several.header("content-type"), Some("application/json"));
        }
        let context =
            cluster.nodes[0].client().get(&path).expect(300).header("settle-context").unwrap().to_owned();
        let headers = [("settle-context", context.as_str()), ("content-type", "text/x-settled")];
        cluster.nodes[key % 4].client().call("PUT", &path, &headers, b"one").unwrap().expect(204);
        let one = cluster.nodes[(key + 1) % 4].client().get(&path).expect(200);
        assert_eq!((one.text(), one.header("content-type")), ("one".to_owned(), Some("text/x-settled")));
    }
    // Its only copy is gone for now; others cannot help.
    let at_n1: Vec<usize> = (0..8)
        .filter(|key| cluster.nodes[0].client().get(&format!("/v1/kv/s/k{key}?replica=self")).status == 200)
        .collect();
    cluster.nodes[0].kill();
    for key in at_n1 {
        wait_for("its absence is noticed", PATIENCE, || {
            let reply = cluster.nodes[1].client().get(&format!("/v1/kv/s/k{key}"));
            (reply.status == 503).then(|| reply.problem(503, "not-enough-replicas"))
        });
    }
}

#[test]
fn a_node_that_joins_later_serves_everything_and_holds_nothing_before_the_layout_changes() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(3);
    for node in &mut cluster.nodes {
        node.configuration.literal("cluster.auto_grow", "false");
    }
    cluster.start_all();
    cluster.nodes[0].client().put(&path(1, "level=all"), "v").expect(204);
    let newcomer = cluster.newcomer("n4");
    cluster.nodes.push(newcomer);
    cluster.start_all();
    let newcomer = &cluster.nodes[3];
    assert_eq!(newcomer.client().get(&path(1, "level=quorum")).expect(200).text(), "v");
    newcomer.client().put(&path(2, "level=all"), "through n4").expect(204);
    assert_eq!(cluster.nodes[0].client().get(&path(2, "level=all")).expect(200).text(), "through n4");
    newcomer.client().get(&path(1, "replica=self")).problem(421, "not-a-replica");
    assert!(cluster.nodes.iter().all(|node| layout_version(node) == 1));
}

#[test]
fn a_cluster_is_born_once_however_often_its_nodes_start() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].client().put(&path(1, "level=all"), "v").expect(204);
    for node in &mut cluster.nodes {
        node.kill();
    }
    // One node alone serves at `one`: it knows its layout.
    cluster.nodes[2].start_ready();
    assert_eq!(cluster.nodes[2].client().get(&path(1, "level=one")).expect(200).text(), "v");
    cluster.start_all();
    assert!(cluster.nodes.iter().all(|node| layout_version(node) == 1));
    assert_eq!(cluster.nodes[1].client().get(&path(1, "level=all")).expect(200).text(), "v");
}

#[test]
fn clusters_of_one_name_that_were_born_apart_do_not_mix() {
    let _turn = turn::shared();
    let one = Cluster::start(1);
    one.nodes[0].client().put(&path(1, "level=one"), "one").expect(204);
    let mut other = one.newcomer("other");
    other.configuration.literal("cluster.seeds", "[]").literal("cluster.expect", "1");
    other.start_ready();
    other.client().put(&path(2, "level=one"), "other").expect(204);
    other.terminate();
    let seed = one.nodes[0].peer.to_string();
    other.configuration.literal("cluster.seeds", &format!("{:?}", [seed]));
    other.start();
    other.wait_log(0, "belongs to another cluster of the same name");
    one.nodes[0].client().get(&path(2, "level=one")).problem(404, "no-value");
    other.client().get(&path(1, "level=one")).problem(404, "no-value");
    assert!(one.nodes[0].is_running() && other.is_running());
}
