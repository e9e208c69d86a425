//! Configuration that changes while the node runs: by signal, by file, by call; all of it or nothing.

use rustix::process::Signal;

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, Node, turn, wait_for};

/// A node whose only peer is gone, so that levels above one are refused.
fn alone() -> Cluster {
    let mut cluster = Cluster::start(2);
    cluster.nodes[1].kill();
    let node = &cluster.nodes[0];
    wait_for("the other one counts as down", PATIENCE, || {
        (node.client().put("/v1/kv/default/k?level=quorum", "v").status == 503).then_some(())
    });
    cluster
}

/// A write that names no level.
fn plain_write(node: &Node) -> u16 {
    node.client().put("/v1/kv/default/k", "v").status
}

fn reloaded_well(node: &Node) -> f64 {
    node.metrics().expect("settle_config_last_reload_successful{program=\"settled\"}")
}

#[test]
fn a_call_reloads_and_says_so() {
    let _turn = turn::shared();
    let mut cluster = alone();
    let node = &mut cluster.nodes[0];
    assert_eq!(plain_write(node), 204);
    node.configuration.text("consistency.write", "quorum").text("limits.value_bytes", "10B");
    node.write_configuration();
    node.admin().post("/-/reload").expect(200);
    node.wait_log(0, "\"changed\":\"consistency.write, limits.value_bytes\"");
    assert_eq!(plain_write(node), 503);
    let long = node.client().put("/v1/kv/default/k?level=one", "eleven byte");
    long.problem(413, "body-too-large");
    // The level of a bucket goes before that of all.
    node.configuration.extra = "[[bucket]]\nname = \"default\"\nwrite = \"one\"\n".to_owned();
    node.write_configuration();
    node.admin().post("/-/reload").expect(200);
    assert_eq!(plain_write(node), 204);
    assert_eq!(reloaded_well(node), 1.0);
    node.wait_log(0, "\"changed\":\"bucket \\\"default\\\"\"");
    let said = node.admin().post("/-/reload").expect(200).text();
    assert_eq!(said, "reloaded; nothing changed\n");
}

#[test]
fn a_signal_reloads() {
    let _turn = turn::shared();
    let mut cluster = alone();
    let node = &mut cluster.nodes[0];
    assert_eq!(plain_write(node), 204);
    node.configuration.text("consistency.write", "quorum").text("telemetry.log", "error");
    node.write_configuration();
    wait_for("the signal is taken", PATIENCE, || {
        node.signal(Signal::HUP);
        (plain_write(node) == 503).then_some(())
    });
    // One reload comes after the other, and each logs before it answers.
    let from = node.log().len();
    node.admin().post("/-/reload").expect(200);
    assert!(!node.log()[from..].contains("configuration reloaded"), "{}", &node.log()[from..]);
    node.configuration.text("telemetry.log", "info");
    node.write_configuration();
    wait_for("the signal is taken again", PATIENCE, || {
        node.signal(Signal::HUP);
        node.log().contains("\"cause\":\"SIGHUP\"").then_some(())
    });
    node.wait_log(from, "telemetry.log");
}

#[test]
fn a_changed_file_is_noticed() {
    let _turn = turn::shared();
    let mut cluster = alone();
    let node = &mut cluster.nodes[0];
    assert_eq!(plain_write(node), 204);
    node.configuration.text("consistency.write", "all");
    node.write_configuration();
    wait_for("the change takes effect", PATIENCE, || (plain_write(node) == 503).then_some(()));
    node.wait_log(0, "\"cause\":\"file change\"");
}

#[test]
fn what_needs_a_restart_is_refused_and_nothing_of_it_is_taken() {
    let _turn = turn::shared();
    let mut cluster = alone();
    let node = &mut cluster.nodes[0];
    let right = node.configuration.clone();
    for (key, literal) in [
        ("node.zone", "\"elsewhere\""),
        ("listen.api", "\"127.0.0.1:1\""),
        ("cluster.expect", "5"),
        ("storage.cache", "\"1MiB\""),
    ] {
        node.configuration = right.clone();
        // A live key beside it, which must not be taken alone.
        node.configuration.literal(key, literal).text("consistency.write", "all");
        node.write_configuration();
        let problem = node.admin().post("/-/reload").problem(409, "needs-restart");
        assert!(problem["detail"].as_str().unwrap().contains(key), "{problem}");
        assert_eq!(plain_write(node), 204, "{key}");
        assert_eq!(reloaded_well(node), 0.0, "{key}");
    }
    node.configuration = right;
    node.configuration.bucket("new", "siblings");
    node.write_configuration();
    let problem = node.admin().post("/-/reload").problem(409, "needs-restart");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("bucket \"new\""), "{detail}");
    node.client().get("/v1/kv/new/k").problem(404, "unknown-bucket");
}

#[test]
fn a_wrong_file_is_refused_and_the_next_right_one_is_taken() {
    let _turn = turn::shared();
    let mut cluster = alone();
    let node = &mut cluster.nodes[0];
    let right = node.configuration.clone();
    node.configuration.text("consistency.write", "most").literal("limits.key_byte", "1");
    node.write_configuration();
    let problem = node.admin().post("/-/reload").problem(500, "configuration-invalid");
    let detail = problem["detail"].as_str().unwrap();
    for named in ["the running configuration stays", "consistency.write", "limits.key_bytes"] {
        assert!(detail.contains(named), "{named} is not in {detail}");
    }
    assert_eq!((plain_write(node), reloaded_well(node)), (204, 0.0));
    node.configuration = right;
    node.write_configuration();
    node.admin().post("/-/reload").expect(200);
    assert_eq!((plain_write(node), reloaded_well(node)), (204, 1.0));
}
