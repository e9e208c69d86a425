//! The end of a node: drained within a deadline with everything that was acknowledged, or at once when told twice.

use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::http::{CallError, begin_put, read_reply};
use crate::support::load::{Histories, Load, reader};
use crate::support::random::Random;
use crate::support::wait::PATIENCE;
use crate::support::{Client, Cluster, turn};

/// The daemon's own deadline, and some time for its last writes on a slow machine.
const ENDED: Duration = Duration::from_secs(20);

/// A request that has a lot of time for its body of four bytes.
const PATIENT: &str = "/v1/kv/default/half?timeout=60s";

#[test]
fn a_node_under_load_ends_well_and_keeps_what_it_acknowledged() {
    let _turn = turn::shared();
    let mut random = Random::from_environment(6);
    let mut cluster = Cluster::new(1);
    cluster.start_all();
    let node = &mut cluster.nodes[0];
    let load = Load::start(Histories::new(4, 24), &[node.api], "level=one", &mut random);
    load.wait_acked(100);
    node.signal(Signal::TERM);
    let status = node.wait_exit(ENDED);
    assert_eq!(status.code(), Some(0));
    let (histories, ..) = load.stop();
    node.start();
    histories.check(reader(node.api, "replica=self"));
}

#[test]
fn a_replica_of_three_ends_well_under_quorum_writes() {
    let _turn = turn::shared();
    let mut random = Random::from_environment(7);
    let mut cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.api).collect();
    let load = Load::start(Histories::new(6, 24), &addresses, "level=quorum&timeout=10s", &mut random);
    load.wait_acked(60);
    cluster.nodes[0].signal(Signal::TERM);
    assert_eq!(cluster.nodes[0].wait_exit(ENDED).code(), Some(0));
    load.wait_acked(60);
    cluster.nodes[0].start();
    load.wait_acked(30);
    let (histories, ..) = load.stop();
    cluster.wait_connected();
    histories.check(reader(addresses[0], "level=quorum"));
}

#[test]
fn a_request_in_progress_may_end_and_new_connections_are_refused() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.start_all();
    let node = &mut cluster.nodes[0];
    let mut half = begin_put(node.api, PATIENT, 4);
    half.get_mut().write_all(b"ha").unwrap();
    node.client().put("/v1/kv/default/k", "v").expect(204);
    let from = node.log().len();
    node.signal(Signal::TERM);
    node.wait_log(from, "draining");
    half.get_mut().write_all(b"lf").unwrap();
    assert_eq!(read_reply(&mut half, "PUT").unwrap().status, 204);
    assert_eq!(node.wait_exit(ENDED).code(), Some(0));
    let refused = Client::new(node.api).call("GET", "/v1/kv/default/k", &[], b"");
    assert!(matches!(refused, Err(CallError::NotSent(_))), "{refused:?}");
    node.start();
    assert_eq!(node.client().get("/v1/kv/default/half").expect(200).text(), "half");
}

#[test]
fn a_request_that_does_not_end_does_not_hold_the_node_up() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.start_all();
    let node = &mut cluster.nodes[0];
    let mut half = begin_put(node.api, PATIENT, 4);
    half.get_mut().write_all(b"ha").unwrap();
    node.client().put("/v1/kv/default/k", "v").expect(204);
    node.signal(Signal::TERM);
    assert_eq!(node.wait_exit(ENDED).code(), Some(0));
    node.start();
    assert_eq!(node.client().get("/v1/kv/default/k").expect(200).text(), "v");
    node.client().get("/v1/kv/default/half").problem(404, "no-value");
}

#[test]
fn a_second_signal_aborts() {
    let _turn = turn::shared();
    let mut cluster = Cluster::new(1);
    cluster.start_all();
    let node = &mut cluster.nodes[0];
    // It keeps the node draining for some seconds.
    let mut half = begin_put(node.api, PATIENT, 4);
    half.get_mut().write_all(b"ha").unwrap();
    node.client().put("/v1/kv/default/k", "v").expect(204);
    node.signal(Signal::TERM);
    // Another one, since two of the same that arrive together count as one.
    node.signal(Signal::INT);
    let status = node.wait_exit(PATIENCE);
    assert_eq!(status.code(), Some(130), "{}", node.log());
    // What was acknowledged does not depend on a clean end.
    node.start();
    assert_eq!(node.client().get("/v1/kv/default/k").expect(200).text(), "v");
}
