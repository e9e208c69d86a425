//! Replicas killed under quorum writes come back, catch up by themselves, and no acknowledged write or delete is
//! missing on any replica.

use std::time::Duration;

use crate::support::load::{Histories, Load, reader};
use crate::support::oracle::State;
use crate::support::random::Random;
use crate::support::{Cluster, turn, wait_for};

/// How long the replicas may take to become equal once writing ended.
const CONVERGED: Duration = Duration::from_secs(30);

/// How clients write, and how they read what they must find.
const QUORUM: &str = "level=quorum&timeout=10s";

/// Every replica's own state of every key.
fn states(cluster: &Cluster, histories: &Histories) -> Vec<Vec<State>> {
    let of = |node: &crate::support::Node| histories.keys().map(reader(node.api, "replica=self")).collect();
    cluster.nodes.iter().map(of).collect()
}

#[test]
fn each_replica_killed_in_turn_catches_up_and_nothing_is_lost() {
    let _turn = turn::shared();
    let mut random = Random::from_environment(2);
    let mut cluster = Cluster::start(3);
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.api).collect();
    let mut histories = Histories::new(6, 24);
    for victim in [0, 1, 2] {
        let load = Load::start(histories, &addresses, QUORUM, &mut random);
        load.wait_acked(60 + random.below(60));
        cluster.nodes[victim].kill();
        // The other two are a quorum, and hold whatever a quorum has acknowledged.
        load.wait_acked(120);
        let (meanwhile, ..) = load.stop();
        for survivor in cluster.running() {
            meanwhile.check(reader(survivor.api, QUORUM));
        }
        let load = Load::start(meanwhile, &addresses, QUORUM, &mut random);
        load.wait_acked(30);
        cluster.nodes[victim].start();
        load.wait_acked(60);
        let (after, ..) = load.stop();
        histories = after;
        wait_for("all replicas are equal", CONVERGED, || {
            let states = states(&cluster, &histories);
            (states[0] == states[1] && states[1] == states[2]).then_some(())
        });
        for node in &cluster.nodes {
            histories.settle(reader(node.api, "replica=self"));
        }
        histories.check(reader(cluster.nodes[victim].api, QUORUM));
    }
}
