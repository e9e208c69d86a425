//! A copied data directory: two processes under one identity do no harm, since the older one stops.

use std::fs;

use crate::support::node::copy_directory;
use crate::support::wait::PATIENCE;
use crate::support::{Cluster, Node, turn, wait_for};

/// A node like `node` but elsewhere, on a copy of its data.
fn copy_of(node: &Node, root: &std::path::Path) -> Node {
    let mut copy = Node::new(root, &node.name);
    let own = copy.configuration.clone();
    copy_directory(&node.data_directory(), &copy.data_directory());
    // The lock belongs to the running process, not to the data.
    fs::remove_file(copy.data_directory().join("lock")).unwrap();
    copy.configuration = own;
    copy
}

#[test]
fn the_older_of_two_processes_on_copies_of_one_directory_stops() {
    let _turn = turn::shared();
    let mut cluster = Cluster::start(3);
    cluster.nodes[2].client().put("/v1/kv/default/before?level=all", "copied").expect(204);
    // Copied while nothing writes, as a backup would be.
    cluster.nodes[2].terminate();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut copy = copy_of(&cluster.nodes[2], elsewhere.path());
    let seeds = format!("{:?}", [cluster.nodes[0].peer.to_string(), cluster.nodes[1].peer.to_string()]);
    copy.configuration.literal("cluster.seeds", &seeds).literal("cluster.expect", "3");
    cluster.start_all();
    copy.start();
    let status = cluster.nodes[2].wait_exit(PATIENCE);
    let log = cluster.nodes[2].log();
    assert!(log.contains("data directory") || log.contains("identity"), "{log}");
    assert_ne!(status.code(), Some(0), "a node that must not run is not a clean end");
    // The others go on with the newer one, and nothing is missing.
    cluster.nodes[2] = copy;
    cluster.wait_connected();
    cluster.nodes[0].client().put("/v1/kv/default/after?level=all", "v").expect(204);
    for key in ["before", "after"] {
        wait_for(&format!("the copy holds {key}"), PATIENCE, || {
            let reply = cluster.nodes[2].client().get(&format!("/v1/kv/default/{key}?replica=self"));
            (reply.status == 200).then_some(())
        });
    }
}
