//! Exact examples of placement: results, warnings, errors.

use super::*;

fn per_node(assignment: &Assignment) -> Vec<usize> {
    assignment.counts().into_values().collect()
}

/// The rows of an assignment by node numbers.
fn rows(assignment: &Assignment) -> Vec<Vec<u64>> {
    every(assignment).map(|partition| assignment.replicas(partition).map(|node| node.0).collect()).collect()
}

/// Nodes of two versions must not come to different results in an upgrade.
#[test]
fn results_do_not_change_between_versions() {
    let hosts: Vec<Host> = (1..=4).map(|number| host(number, 0, number as usize % 2, 1)).collect();
    let before = everywhere(&hosts, 2, 8);
    assert_eq!(rows(&before), [[4, 3], [2, 1], [3, 4], [1, 2], [1, 4], [3, 2], [2, 3], [4, 1]]);
    let (after, _) = again(&hosts[..3], 2, &before);
    assert_eq!(rows(&after), [[2, 3], [2, 1], [3, 2], [1, 2], [1, 2], [3, 2], [2, 3], [2, 1]]);
}

#[test]
fn three_nodes_hold_everything_three_times_and_a_fourth_takes_a_quarter() {
    let before = everywhere(&equal(3), 3, 128);
    assert_eq!(per_node(&before), [128; 3]);
    assert_eq!(firsts(&before).into_values().collect::<Vec<_>>(), [43, 42, 43]);
    let (after, summary) = again(&equal(4), 3, &before);
    assert_eq!((per_node(&after), summary.moves), (vec![96; 4], 96));
    assert_eq!(firsts(&after).into_values().collect::<Vec<_>>(), [32; 4]);
    let (_, summary) = again(&equal(3), 3, &after);
    assert_eq!(summary.moves, 96);
    let gone = NodeCount { node: NodeId(4), before: 96, after: 0 };
    assert_eq!(summary.nodes.last(), Some(&gone));
}

#[test]
fn weights_divide_a_zone_and_zones_come_before_weights() {
    let weights = |zones: [usize; 4], weights: [u32; 4]| -> Vec<Host> {
        (1..)
            .zip(zones.into_iter().zip(weights))
            .map(|(number, (zone, weight))| host(number, 0, zone, weight))
            .collect()
    };
    assert_eq!(per_node(&everywhere(&weights([0; 4], [1, 1, 2, 4]), 1, 64)), [8, 8, 16, 32]);
    // The heavy node can hold each partition only once.
    assert_eq!(per_node(&everywhere(&weights([0; 4], [1, 1, 2, 1_000]), 2, 64)), [16, 16, 32, 64]);
    // Three zones for three replicas: each holds everything, however light it is.
    assert_eq!(per_node(&everywhere(&weights([0, 1, 2, 2], [9, 1, 3, 1]), 3, 64)), [64, 64, 48, 16]);
    // Two zones for three replicas: the light one is raised to one replica of everything.
    assert_eq!(per_node(&everywhere(&weights([0, 0, 0, 1], [5, 5, 6, 1]), 3, 64)), [40, 40, 48, 64]);
}

#[test]
fn a_replaced_node_hands_its_partitions_to_its_successor() {
    let mut hosts = equal(6);
    let before = everywhere(&hosts, 3, 128);
    hosts[2].node = NodeId(77);
    let (after, summary) = again(&hosts, 3, &before);
    assert_eq!(summary.moves, 64);
    assert!(before.partitions_of(NodeId(3)).eq(after.partitions_of(NodeId(77))));
}

#[test]
fn a_large_cluster_keeps_its_promises() {
    let hosts: Vec<Host> =
        (0..128).map(|number| host(number, 0, number as usize % 5, 1 + number as u32 % 3)).collect();
    let before = everywhere(&hosts[1..], 3, 4_096);
    check(&hosts[1..], &Replication::Everywhere(3), &before);
    let (after, summary) = again(&hosts, 3, &before);
    check(&hosts, &Replication::Everywhere(3), &after);
    assert_eq!(summary.moves, after.counts()[&NodeId(0)]);
    assert_eq!(after.to_bytes().len(), 1 + 2 + 128 * 8 + 2 + 1 + 3 * 4_096);
}

#[test]
fn too_few_nodes_or_zones_are_told() {
    let hosts = [host(1, 0, 0, 1), host(2, 0, 0, 1), host(3, 1, 0, 1), host(4, 2, 0, 1)];
    let asked = [("dc0".to_owned(), 2), ("dc1".to_owned(), 3), ("dc3".to_owned(), 1)];
    let replication = Replication::PerDatacenter(asked.into());
    let (assignment, summary) = place(&hosts, &replication, 4, None).unwrap();
    assert!(every(&assignment).all(|partition| assignment.replicas(partition).count() == 3));
    let datacenter = |number: usize| format!("dc{number}");
    let expected = [
        Warning::FewerZones { datacenter: datacenter(0), replicas: 2, zones: 1 },
        Warning::FewerNodes { datacenter: datacenter(1), replicas: 3, nodes: 1 },
        Warning::Unused { datacenter: datacenter(2), nodes: 1 },
        Warning::FewerNodes { datacenter: datacenter(3), replicas: 1, nodes: 0 },
    ];
    assert_eq!((summary.warnings, summary.moves), (expected.to_vec(), 0));
}

#[test]
fn requests_without_sense_are_refused() {
    let hosts = equal(2);
    let one = Replication::Everywhere(1);
    let refused = |hosts: &[Host], replication, partitions, previous| {
        place(hosts, replication, partitions, previous).expect_err("refused")
    };
    for partitions in [0, 3, 131_072] {
        assert_eq!(refused(&hosts, &one, partitions, None), PlacementError::Partitions(partitions));
    }
    let before = everywhere(&hosts, 1, 8);
    let changed = PlacementError::PartitionsChanged { previous: 8, wanted: 4 };
    assert_eq!(refused(&hosts, &one, 4, Some(&before)), changed);
    let twice = [hosts[0].clone(), hosts[0].clone()];
    assert_eq!(refused(&twice, &one, 8, None), PlacementError::Twice(NodeId(1)));
    assert_eq!(refused(&hosts, &Replication::Everywhere(0), 8, None), PlacementError::Nowhere);
    let drained: Vec<Host> = hosts.into_iter().map(|host| Host { holds_data: false, ..host }).collect();
    assert_eq!(refused(&drained, &one, 8, Some(&before)), PlacementError::Nowhere);
}

#[test]
fn forged_assignments_are_refused() {
    let good = everywhere(&equal(2), 2, 1);
    let bytes = good.to_bytes().to_vec();
    assert_eq!(Assignment::from_bytes(bytes.clone().into()), Ok(good));
    let forged = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Assignment::from_bytes(bytes.into()).is_err()
    };
    // Version, count of nodes, order of nodes, partitions, replicas, a slot out of range, one taken twice.
    let places = [(0, 2), (1, 3), (2, 9), (18, 3), (19, 3), (20, 2), (20, bytes[21])];
    assert!(places.into_iter().all(|(at, byte)| forged(at, byte)));
    let idle = [&[1, 2], &[0; 8][..], &[1; 8], &[1, 1, 0]].concat();
    assert!(Assignment::from_bytes(idle.into()).is_err());
}
