//! A machine that lost its disk comes back as a new node, at the address that the others remember of the old one.

use crate::support::wait::PATIENCE;
use crate::support::{Cluster, turn, wait_for};

#[test]
fn a_new_node_at_the_address_of_a_dead_one_is_not_taken_for_its_copy() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    cluster.nodes[0].client().put("/v1/kv/default/before?level=quorum", "v").expect(204);
    cluster.nodes[2].kill();
    // The same machine and listeners; another name, and nothing on its disk.
    let lost = cluster.nodes[2].directory.join("empty");
    cluster.nodes[2].configuration.text("node.name", "n4").text("node.data_dir", lost.to_str().unwrap());
    cluster.nodes[2].name = "n4".to_owned();
    cluster.nodes[2].start();
    // It hears of the dead node from the others, tries its last address, and meets itself.
    cluster.nodes[2].wait_log(0, "the last known address of this peer is this node's own by now");
    for name in ["n1", "n2"] {
        wait_for(&format!("it is connected with {name}"), PATIENCE, || {
            cluster.nodes[2].member(name).is_some_and(|member| member["up"] == true).then_some(())
        });
        let index = if name == "n1" { 0 } else { 1 };
        wait_for(&format!("{name} is connected with it"), PATIENCE, || {
            cluster.nodes[index].member("n4").is_some_and(|member| member["up"] == true).then_some(())
        });
    }
    assert_eq!(cluster.nodes[2].member("n3").unwrap()["up"], false);
    cluster.nodes[0].client().put("/v1/kv/default/after?level=quorum", "v").expect(204);
    let log = cluster.nodes[2].log();
    assert!(!log.contains("runs twice"), "{log}");
    // One line about it, however often it tries.
    assert_eq!(log.matches("this node's own by now").count(), 1, "{log}");
    cluster.nodes[2].terminate();
}
