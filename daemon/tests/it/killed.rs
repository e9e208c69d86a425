//! `kill -9` in a loop: one node that keeps its writes by itself loses nothing that it has acknowledged.

use std::time::Duration;

use crate::support::load::{Histories, Load, reader};
use crate::support::random::Random;
use crate::support::{Cluster, turn};

const ROUNDS: usize = 22;

#[test]
fn no_acknowledged_write_is_lost_by_kill_9() {
    let _turn = turn::shared();
    let mut random = Random::from_environment(1);
    let mut cluster = Cluster::new(1);
    let node = &mut cluster.nodes[0];
    node.configuration.text("storage.durability", "always").literal("cluster.partitions", "16");
    let mut histories = Histories::new(4, 24);
    let (mut acked_total, mut doubtful_total) = (0, 0);
    for round in 0..ROUNDS {
        node.start_ready();
        histories.settle(reader(node.api, "replica=self"));
        let load = Load::start(histories, &[node.api], "level=one", &mut random);
        // Counted in writes, so that a slow day makes it slower and not emptier.
        load.wait_acked(1 + random.below(120));
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        node.kill();
        let (after, acked, doubtful) = load.stop();
        assert!(acked > 0, "round {round} has no acknowledged write");
        acked_total += acked;
        doubtful_total += doubtful;
        histories = after;
    }
    node.start_ready();
    histories.settle(reader(node.api, "replica=self"));
    // Otherwise no kill has hit a write, and nothing was tested.
    assert!(doubtful_total > 0, "no write was in doubt among {acked_total} acknowledged ones");
    node.terminate();
}
