//! Layouts that change while clients write and read: nodes join, are drained, and are killed in the middle.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::{Client, Reply};
use crate::support::node::Node;
use crate::support::steady::{Key, Steady};
use crate::support::{Cluster, turn, wait_for};

/// For a whole change, also on a slow day.
const CHANGE: Duration = Duration::from_secs(150);

/// Keys that nobody touches while the layout changes.
const AT_REST: usize = 300;

fn layout(node: &Node) -> Value {
    node.admin().get("/v1/layout").expect(200).json()
}

fn post(node: &Node, change: &Value) -> Reply {
    let headers = [("content-type", "application/json")];
    node.admin().call("POST", "/v1/layout", &headers, change.to_string().as_bytes()).unwrap()
}

/// Waits until the running nodes have ended the change to `version`.
fn wait_version(cluster: &Cluster, version: u64) {
    for node in cluster.running() {
        wait_for(&format!("{} is at layout {version}", node.name), CHANGE, || {
            let layout = layout(node);
            (layout["version"] == version && layout["change"].is_null()).then_some(())
        });
    }
}

/// Waits until the change to layout 2 is at least in `step`, at this node.
fn wait_step(node: &Node, step: u64) {
    wait_for(&format!("{} is in step {step}", node.name), CHANGE, || {
        let layout = layout(node);
        let now = layout["change"]["step"].as_u64().unwrap_or_default();
        (layout["version"] == 2 || now >= step).then_some(())
    });
}

fn addresses(cluster: &Cluster) -> Vec<SocketAddr> {
    cluster.running().map(|node| node.api).collect()
}

fn at_rest(key: usize) -> String {
    format!("rest-{key}")
}

fn rest() -> Vec<String> {
    (0..AT_REST).map(at_rest).collect()
}

fn fill(cluster: &Cluster) {
    let mut client = cluster.nodes[0].client();
    for key in 0..AT_REST {
        client.put(&format!("/v1/kv/default/{}?level=all", at_rest(key)), at_rest(key)).expect(204);
    }
}

/// Starts further nodes, which fetch so many bytes in a second.
fn join(cluster: &mut Cluster, names: &[&str], pace: Option<&str>) {
    for name in names {
        let mut newcomer = cluster.newcomer(name);
        if let Some(pace) = pace {
            newcomer.configuration.text("hints.bytes_per_second", pace);
        }
        cluster.nodes.push(newcomer);
    }
    for node in cluster.nodes.iter_mut().filter(|node| !node.is_running()) {
        node.start();
    }
}

/// Each key is where it belongs and nowhere else, and can be read through every node.
fn check_all(cluster: &Cluster, written: &[Key], nodes: usize) {
    let rest = rest();
    for node in cluster.running() {
        let mut client = node.client();
        for key in &rest {
            let reply = client.get(&format!("/v1/kv/default/{key}?level=quorum")).expect(200);
            assert_eq!(reply.text(), *key, "{}", node.name);
        }
        written.iter().for_each(|key| key.check(&mut client));
    }
    let keys = rest.iter().chain(written.iter().filter(|key| key.is_written()).map(|key| &key.name));
    let keys: Vec<&String> = keys.collect();
    for key in &keys {
        wait_for(&format!("{key} is on three nodes"), CHANGE, || {
            let held = |node: &&Node| {
                let status = node.client().get(&format!("/v1/kv/default/{key}?replica=self")).status;
                assert!([200, 404, 421].contains(&status), "{status}");
                status == 200
            };
            (cluster.running().filter(held).count() == 3).then_some(())
        });
    }
    wait_for("every key is counted three times", CHANGE, || {
        let counts: Vec<f64> = cluster.running().map(|node| node.metrics().expect("settle_keys")).collect();
        let holding = counts.iter().filter(|count| **count > 0.0).count();
        (counts.iter().sum::<f64>() == 3.0 * keys.len() as f64 && holding == nodes).then_some(())
    });
}

#[test]
fn nodes_that_join_get_their_share_while_clients_go_on() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    fill(&cluster);
    let steady = Steady::start(4, &addresses(&cluster), rest());
    steady.wait_rounds(50);
    // So slow that most reads meet replicas that have next to nothing yet.
    join(&mut cluster, &["n4", "n5"], Some("64KiB"));
    cluster.wait_connected();
    steady.go_to(&addresses(&cluster));
    wait_for("the change begins", CHANGE, || (layout(&cluster.nodes[0])["version"] != 1).then_some(()));
    wait_for("both have joined", CHANGE, || {
        let layout = layout(&cluster.nodes[4]);
        (layout["change"].is_null() && layout["hosts"].as_array().unwrap().len() == 5).then_some(())
    });
    let version = layout(&cluster.nodes[4])["version"].as_u64().unwrap();
    wait_version(&cluster, version);
    steady.wait_rounds(50);
    let (written, failed) = steady.stop();
    assert!(failed.is_empty(), "{} calls failed: {}", failed.len(), failed.join("\n"));
    check_all(&cluster, &written, 5);
    let shares = layout(&cluster.nodes[0])["hosts"].as_array().unwrap().clone();
    let shares: Vec<u64> = shares.iter().map(|host| host["partitions"].as_u64().unwrap()).collect();
    assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 2, "{shares:?}");
    let page = cluster.nodes[1].metrics();
    assert_eq!(page.expect("settle_layout_version"), version as f64);
    assert_eq!(page.expect("settle_layout_progress_ratio"), 1.0);
}

#[test]
fn a_drained_node_holds_nothing_and_can_be_stopped() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(4);
    fill(&cluster);
    let steady = Steady::start(3, &addresses(&cluster), rest());
    post(&cluster.nodes[1], &json!({ "drain": "n9" })).problem(404, "unknown-node");
    post(&cluster.nodes[1], &json!({ "remove": "n2" })).problem(409, "not-possible");
    post(&cluster.nodes[1], &json!({ "add": "n2" })).problem(409, "not-possible");
    post(&cluster.nodes[1], &json!({ "dry": "n2" })).problem(400, "bad-request");
    let begun = post(&cluster.nodes[1], &json!({ "drain": "n4" })).expect(200).json();
    assert_eq!(begun["change"]["next_version"], 2, "{begun}");
    let second = post(&cluster.nodes[1], &json!({ "drain": "n3" })).problem(409, "change-in-progress");
    assert!(second["detail"].as_str().unwrap().contains("the change to layout 2"), "{second}");
    wait_version(&cluster, 2);
    steady.wait_rounds(30);
    let drained = layout(&cluster.nodes[0])["hosts"][3].clone();
    assert_eq!((&drained["partitions"], &drained["holds_data"]), (&json!(0), &json!(false)));
    assert_eq!(cluster.nodes[3].metrics().expect("settle_keys"), 0.0);
    steady.go_to(&addresses(&cluster)[..3]);
    steady.wait_rounds(20);
    let (written, failed) = steady.stop();
    assert!(failed.is_empty(), "{} calls failed: {}", failed.len(), failed.join("\n"));
    cluster.nodes[3].terminate();
    check_all(&cluster, &written, 3);
    wait_for("it is seen to be down", CHANGE, || {
        (cluster.nodes[0].member("n4").unwrap()["up"] == false).then_some(())
    });
    post(&cluster.nodes[0], &json!({ "add": "n4" })).problem(409, "not-possible");
    post(&cluster.nodes[0], &json!({ "remove": "n4" })).expect(200);
    wait_version(&cluster, 3);
    assert_eq!(layout(&cluster.nodes[2])["hosts"].as_array().unwrap().len(), 3);
}

#[test]
fn a_joining_node_and_an_old_replica_that_are_killed_in_the_middle_lose_nothing() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    fill(&cluster);
    let steady = Steady::start(4, &addresses(&cluster), rest());
    steady.wait_rounds(50);
    join(&mut cluster, &["n4"], None);
    for (victim, step) in [(3, 1), (1, 2), (3, 3), (2, 4), (0, 5)] {
        wait_step(&cluster.nodes[victim], step);
        cluster.nodes[victim].kill();
        steady.go_to(&addresses(&cluster));
        steady.wait_rounds(20);
        cluster.nodes[victim].start();
        steady.go_to(&addresses(&cluster));
    }
    wait_version(&cluster, 2);
    steady.wait_rounds(50);
    let (written, _) = steady.stop();
    check_all(&cluster, &written, 4);
}

#[test]
fn without_auto_grow_a_node_that_joins_is_added_by_hand() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(3);
    for node in &mut cluster.nodes {
        node.configuration.literal("cluster.auto_grow", "false");
    }
    cluster.start_all();
    fill(&cluster);
    join(&mut cluster, &["n4"], None);
    cluster.wait_connected();
    wait_for("it is known to be without data", CHANGE, || {
        (layout(&cluster.nodes[0])["without_data"] == json!(["n4"])).then_some(())
    });
    assert_eq!(layout(&cluster.nodes[0])["version"], 1);
    // Any node may be asked, the new one too.
    post(&cluster.nodes[3], &json!({ "add": "n4" })).expect(200);
    wait_version(&cluster, 2);
    check_all(&cluster, &[], 4);
}

#[test]
fn of_two_changes_at_once_one_takes_place_and_without_a_majority_none_does() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(5);
    let changes = [(0, "n4"), (1, "n5")].map(|(asked, drained)| {
        let admin = cluster.nodes[asked].admin;
        std::thread::spawn(move || {
            let change = json!({ "drain": drained }).to_string();
            Client::new(admin).send("POST", "/v1/layout", &[], change.as_bytes())
        })
    });
    let mut statuses = changes.map(|change| {
        let reply = change.join().unwrap();
        if reply.status != 200 {
            reply.clone().problem(409, "change-in-progress");
        }
        reply.status
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    wait_version(&cluster, 2);
    let hosts = layout(&cluster.nodes[2])["hosts"].as_array().unwrap().clone();
    assert_eq!(hosts.iter().filter(|host| host["partitions"] == 0).count(), 1, "{hosts:?}");

    for node in &mut cluster.nodes[2..] {
        node.kill();
    }
    let refused = post(&cluster.nodes[0], &json!({ "drain": "n3" })).problem(503, "not-decided");
    assert!(refused["detail"].as_str().unwrap().contains("a majority of the 5 nodes"), "{refused}");
    assert!(layout(&cluster.nodes[0])["change"].is_null());
    cluster.start_all();
    post(&cluster.nodes[0], &json!({ "drain": "n3" })).expect(200);
    wait_version(&cluster, 3);
}
