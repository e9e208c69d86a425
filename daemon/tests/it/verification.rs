//! Replicas that have seen the same and hold different data are found, with an alarm, and hold the same again; and what
//! is fetched by comparing hash trees is little more than what differs.

use bytes::Bytes;
use settle_core::codec::{Decode, Encode};
use settle_core::entry::Entry;
use settle_core::key::Key;
use settle_core::storage::{Batch, Rows, Table};
use settle_store::{DataDir, Disk, Engine, Expected, Start};

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, Node, turn, wait_for};

/// The partitions of a cluster that is not configured otherwise.
const PARTITIONS: u32 = 128;

/// The rows of a node that is stopped.
fn rows_of(node: &Node, partitions: u32) -> Engine {
    let expected = Expected { name: node.name.clone(), cluster: "settle".to_owned(), partitions };
    let start = Start { wall_ms: 0, random_node: 0, random_epoch: 0 };
    DataDir::open(&node.data_directory(), &expected, start, 1 << 20).unwrap().0
}

/// Changes the row of a key of a stopped node behind its back; `None` removes it.
fn damage(node: &Node, name: &str, change: impl FnOnce(Entry) -> Option<Entry>) {
    let engine = rows_of(node, PARTITIONS);
    let key = Key::new("default", name.as_bytes());
    let row = Table::Entry.key_row(key.partition(PARTITIONS), &key);
    let entry = Entry::from_bytes(engine.get(&row).unwrap().expect("a stored row")).unwrap();
    let mut batch = Batch::default();
    match change(entry) {
        Some(entry) => batch.put(row, entry.to_bytes()),
        None => batch.remove(row),
    }
    engine.commit(&[batch], true).unwrap();
}

/// One letter of each value changes.
fn garbled(mut entry: Entry) -> Option<Entry> {
    for (_, version) in &mut entry.siblings {
        let mut payload = version.payload.to_vec();
        if let Some(last) = payload.last_mut() {
            *last = b'#';
        }
        version.payload = Bytes::from(payload);
    }
    Some(entry)
}

/// What each running node shows of a key by itself.
fn shown(cluster: &Cluster, name: &str) -> Vec<Option<String>> {
    let path = format!("/v1/kv/default/{name}?replica=self");
    let show = |node: &Node| Some(node.client().get(&path)).filter(|reply| reply.status == 200);
    cluster.running().map(|node| show(node).map(|reply| reply.text())).collect()
}

fn metric(node: &Node, series: &str) -> f64 {
    node.metrics().expect(series)
}

/// Sums a metric over all nodes.
fn total(cluster: &Cluster, series: &str) -> f64 {
    cluster.running().map(|node| metric(node, series)).sum()
}

/// Asks for a repair and waits for its end.
fn repair(node: &Node) -> serde_json::Value {
    let id = node.admin().post("/v1/repair").expect(200).json()["repair"].as_str().unwrap().to_owned();
    wait_for("the repair ends", PATIENCE, || {
        let progress = node.admin().get(&format!("/v1/repair/{id}?wait=5s")).expect(200).json();
        (progress["done"] == true).then_some(progress)
    })
}

#[test]
fn what_a_disk_has_lost_or_garbled_is_found_and_mended() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    for key in 0..50 {
        let path = format!("/v1/kv/default/k{key}?level=all&timeout=30s");
        cluster.nodes[key % 3].client().put(&path, format!("value {key}")).expect(204);
    }
    let equal = "settle_merkle_exchanges_total{result=\"equal\"}";
    let repaired = "settle_merkle_exchanges_total{result=\"repaired\"}";
    wait_for("all partitions were compared once", PATIENCE, || {
        cluster.running().all(|node| metric(node, equal) >= f64::from(2 * PARTITIONS)).then_some(())
    });
    assert_eq!(total(&cluster, repaired), 0.0, "nothing was lost");
    cluster.nodes[2].terminate();
    damage(&cluster.nodes[2], "k7", |_| None);
    damage(&cluster.nodes[2], "k8", garbled);
    cluster.start_all();
    wait_for("all show the same again", PATIENCE, || {
        let (lost, garbled) = (shown(&cluster, "k7"), shown(&cluster, "k8"));
        let same = garbled.iter().all(|value| *value == garbled[0]);
        (lost == vec![Some("value 7".to_owned()); 3] && same).then_some(())
    });
    // Either form of the garbled value may win; neither may vanish.
    let value = shown(&cluster, "k8")[0].clone().unwrap();
    assert!(["value 8", "value #"].contains(&value.as_str()), "{value}");
    wait_for("it is counted", PATIENCE, || {
        let keys = total(&cluster, "settle_merkle_keys_repaired_total");
        (keys >= 2.0 && total(&cluster, repaired) >= 1.0).then_some(())
    });
    let alarm = "replicas that had seen the same held different data";
    assert!(cluster.running().any(|node| node.log().contains(alarm)), "nobody has said so");
    for key in (0..50).filter(|key| ![7, 8].contains(key)) {
        assert_eq!(shown(&cluster, &format!("k{key}")), vec![Some(format!("value {key}")); 3]);
    }
    // Whoever looks again finds nothing.
    for node in cluster.running() {
        let done = repair(node);
        assert_eq!(done["error"], serde_json::Value::Null, "{done}");
        assert_eq!(done["keys_repaired"], 0, "{done}");
    }
}

#[test]
fn a_repair_is_asked_for_followed_and_says_what_it_could_not_do() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].client().put("/v1/kv/default/k?level=all&timeout=30s", "v").expect(204);
    let done = repair(&cluster.nodes[0]);
    assert_eq!((&done["error"], &done["percent"]), (&serde_json::Value::Null, &100.0.into()), "{done}");
    assert_eq!(done["partitions_done"], PARTITIONS, "{done}");
    assert_eq!(done["replicas_equal"], 2 * PARTITIONS, "{done}");
    let mut admin = cluster.nodes[0].admin();
    admin.get("/v1/repair").problem(405, "method-not-allowed");
    admin.get("/v1/repair/none").problem(404, "not-found");
    let id = done["repair"].as_str().unwrap();
    admin.get(&format!("/v1/repair/{id}?patience=1s")).expect(400);
    assert_eq!(admin.get(&format!("/v1/repair/{id}")).expect(200).json()["done"], true);
    cluster.nodes[2].kill();
    wait_for("n3 is missed", PATIENCE, || {
        (cluster.nodes[0].member("n3").unwrap()["up"] == false).then_some(())
    });
    let done = repair(&cluster.nodes[0]);
    assert_eq!(done["error"], "n3 does not answer", "{done}");
    assert_ne!(done["repair"], id);
}

/// Of 4,000 keys 200 change while a node is away whose log is dropped; what it fetches is less than ten times that.
#[test]
fn a_replica_whose_log_is_gone_fetches_little_more_than_what_differs() {
    const KEYS: usize = 4_000;
    const CHANGED: usize = 200;
    const BYTES: usize = 1_024;
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    let write = |node: &Node, keys: std::ops::Range<usize>, letter: &str| {
        std::thread::scope(|scope| {
            for client in 0..8 {
                let (mut calls, keys) = (node.client(), keys.clone());
                scope.spawn(move || {
                    for key in keys.skip(client).step_by(8) {
                        let path = format!("/v1/kv/default/k{key}?level=quorum&timeout=30s");
                        calls.put(&path, letter.repeat(BYTES)).expect(204);
                    }
                });
            }
        });
    };
    write(&cluster.nodes[0], 0..KEYS, "a");
    let has = |node: &Node, key: usize, letter: &str| {
        let reply = node.client().get(&format!("/v1/kv/default/k{key}?replica=self"));
        reply.status == 200 && reply.text() == letter.repeat(BYTES)
    };
    wait_for("n3 has all", PATIENCE, || (0..KEYS).all(|key| has(&cluster.nodes[2], key, "a")).then_some(()));
    cluster.nodes[2].terminate();
    for node in &mut cluster.nodes[..2] {
        node.configuration.text("hints.max_age", "1s");
        node.write_configuration();
        node.admin().post("/-/reload").expect(200);
    }
    write(&cluster.nodes[0], 0..CHANGED, "b");
    for node in cluster.others(2) {
        wait_for("the log is dropped", PATIENCE, || {
            (metric(node, "settle_log_records") == 0.0).then_some(())
        });
        assert!(metric(node, "settle_partitions{state=\"diverged\"}") > 0.0);
    }
    cluster.nodes[2].start_ready();
    let back = &cluster.nodes[2];
    wait_for("n3 has what changed", PATIENCE, || (0..CHANGED).all(|key| has(back, key, "b")).then_some(()));
    let done = repair(back);
    assert_eq!((&done["error"], &done["keys_repaired"]), (&serde_json::Value::Null, &0.into()), "{done}");
    let bytes = metric(back, "settle_anti_entropy_bytes_total{direction=\"received\"}");
    let ratio = bytes / (CHANGED * BYTES) as f64;
    println!(
        "{CHANGED} of {KEYS} keys of {BYTES} bytes changed: {bytes} bytes received, {ratio:.2} times that"
    );
    assert!(ratio < 10.0, "{bytes} bytes for {CHANGED} keys of {BYTES}");
    for node in cluster.running() {
        wait_for("nobody has diverged any more", PATIENCE, || {
            (metric(node, "settle_partitions{state=\"diverged\"}") == 0.0).then_some(())
        });
    }
}
