//! Replicas that missed something get it when it is read, and a replica that does not answer is read around.
//!
//! What they miss is a write that a stranger gave to one node only; exchanges between the nodes are far away.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Signal;
use settle_core::context::ClientContext;

use crate::support::stranger::{dot, write};
use crate::support::wait::PATIENCE;
use crate::support::{Cluster, Node, turn, wait_for};

/// Three nodes that do not exchange anything by themselves; of reads at one, so many are compared.
fn cluster(chance: &str) -> Cluster {
    let mut cluster = Cluster::new(3);
    for node in &mut cluster.nodes {
        node.configuration.text("anti_entropy.interval", "1h").literal("read_repair.chance", chance);
    }
    cluster.start_all();
    // The first echo of a connection makes up at once for what was missed before it.
    for node in &cluster.nodes {
        wait_for(&format!("{} has heard echoes of all", node.name), PATIENCE, || {
            let page = node.metrics();
            let known = |other: &Node| {
                !page.expect(&format!("settle_peer_rtt_seconds{{peer=\"{}\"}}", other.name)).is_nan()
            };
            cluster.nodes.iter().filter(|other| other.name != node.name).all(known).then_some(())
        });
    }
    cluster
}

fn repairs(node: &Node, mode: &str, result: &str) -> f64 {
    node.metrics().expect(&format!("settle_read_repairs_total{{mode=\"{mode}\",result=\"{result}\"}}"))
}

/// How many blocking repairs were applied, were not needed, and failed.
fn blocking(node: &Node) -> [f64; 3] {
    ["applied", "no_diff", "error"].map(|result| repairs(node, "blocking", result))
}

/// What a node holds of a key; `None`: nothing.
fn own(node: &Node, key: &str) -> Option<String> {
    let reply = node.client().get(&format!("/v1/kv/default/{key}?replica=self"));
    (reply.status == 200).then(|| reply.text())
}

/// Whether a node has seen a stranger's write of a key, or knows it to be superseded.
fn knows(node: &Node, key: &str, counter: u64) -> bool {
    let reply = node.client().get(&format!("/v1/kv/default/{key}?replica=self"));
    let context = URL_SAFE_NO_PAD.decode(reply.context()).unwrap();
    ClientContext::from_client(context).unwrap().clock.has(dot(counter))
}

fn at(key: &str, level: &str) -> String {
    format!("/v1/kv/default/{key}?level={level}&timeout=30s")
}

#[test]
fn a_missed_write_is_repaired_by_whoever_reads_it() {
    let _turn = turn::shared();
    let cluster = cluster("0.0");
    let [first, second, third] = &cluster.nodes[..] else { panic!() };
    // Read through a replica that missed it, then through the one that has it.
    for (key, counter, reader) in [("a", 1, second), ("b", 2, first)] {
        write(first.peer, key, counter, Some("value"), &[]);
        let before = blocking(reader);
        assert_eq!(reader.client().get(&at(key, "all")).expect(200).text(), "value");
        for node in &cluster.nodes {
            assert_eq!(own(node, key).as_deref(), Some("value"), "{} was not repaired in time", node.name);
        }
        reader.client().get(&at(key, "all")).expect(200);
        let [applied, no_diff, error] = before;
        assert_eq!(blocking(reader), [applied + 1.0, no_diff + 1.0, error]);
    }
    // What was repaired is no news to anybody, and was counted once per replica as a write taken in.
    assert_eq!(third.client().get(&at("a", "quorum")).expect(200).text(), "value");
    assert_eq!(blocking(third), [0.0, 1.0, 0.0]);
    assert_eq!(third.metrics().expect("settle_writes_total{bucket=\"default\"}"), 2.0);
}

#[test]
fn a_missed_delete_is_repaired_and_stays() {
    let _turn = turn::shared();
    let cluster = cluster("0.0");
    let [first, second, third] = &cluster.nodes[..] else { panic!() };
    for node in &cluster.nodes {
        write(node.peer, "k", 1, Some("value"), &[]);
    }
    write(first.peer, "k", 2, None, &[dot(1)]);
    assert_eq!(own(third, "k").as_deref(), Some("value"));
    second.client().get(&at("k", "all")).problem(404, "no-value");
    assert_eq!(blocking(second), [1.0, 0.0, 0.0]);
    for node in &cluster.nodes {
        assert_eq!(own(node, "k"), None, "{}", node.name);
        node.client().get(&at("k", "all")).problem(404, "no-value");
        assert_eq!(blocking(node)[1], 1.0, "{}", node.name);
    }
}

/// Two replicas show nothing, but only one of them knows that the third shows what is gone.
#[test]
fn replicas_that_show_the_same_share_what_they_know() {
    let _turn = turn::shared();
    let cluster = cluster("0.0");
    let [first, second, third] = &cluster.nodes[..] else { panic!() };
    write(first.peer, "k", 1, Some("value"), &[]);
    write(third.peer, "k", 1, Some("value"), &[]);
    write(first.peer, "k", 2, None, &[dot(1)]);
    assert!(!knows(second, "k", 1));
    first.client().get(&at("k", "all")).problem(404, "no-value");
    assert!(knows(second, "k", 1), "it would show the value that a late message brings");
    assert_eq!(own(third, "k"), None);
}

#[test]
fn single_reads_repair_the_others_behind_the_clients_back() {
    let _turn = turn::shared();
    let cluster = cluster("1.0");
    let [first, second, third] = &cluster.nodes[..] else { panic!() };
    write(first.peer, "k", 1, Some("value"), &[]);
    assert_eq!(first.client().get(&at("k", "one")).expect(200).text(), "value");
    wait_for("the repair is counted", PATIENCE, || {
        (repairs(first, "background", "applied") == 1.0).then_some(())
    });
    for node in [second, third] {
        assert_eq!(own(node, "k").as_deref(), Some("value"), "{}", node.name);
    }
    third.client().get(&at("k", "one")).expect(200);
    wait_for("the comparison is counted", PATIENCE, || {
        (repairs(third, "background", "no_diff") == 1.0).then_some(())
    });
    // A replica that missed it repairs itself, too.
    write(third.peer, "late", 2, Some("value"), &[]);
    wait_for("the reader has it", PATIENCE, || {
        let reply = second.client().get(&at("late", "one"));
        (reply.status == 200).then(|| assert_eq!(reply.text(), "value"))
    });
    assert_eq!(blocking(second), [0.0; 3]);
}

#[test]
fn reads_go_around_a_replica_that_does_not_answer() {
    /// What reads take that wait for nobody, on a slow day; each has a deadline far beyond it.
    const AT_ONCE: Duration = Duration::from_secs(10);
    let _turn = turn::shared();
    let cluster = cluster("0.0");
    let reader = &cluster.nodes[0];
    for (stopped, other) in [(1, 2), (2, 1)] {
        let key = format!("k{stopped}");
        write(reader.peer, &key, stopped as u64, Some("value"), &[]);
        cluster.nodes[stopped].signal(Signal::STOP);
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(reader.client().get(&at(&key, "quorum")).expect(200).text(), "value");
        }
        assert!(begun.elapsed() < AT_ONCE, "twenty reads took {:?}", begun.elapsed());
        // The one that answers was repaired; for the one that does not, nobody waited.
        assert_eq!(own(&cluster.nodes[other], &key).as_deref(), Some("value"));
        cluster.nodes[stopped].signal(Signal::CONT);
        cluster.wait_connected();
    }
    let [applied, _, error] = blocking(reader);
    assert_eq!((applied, error), (2.0, 0.0));
}
