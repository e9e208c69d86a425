//! Layouts come back from their bytes, and clusters that were born apart stay apart.

use proptest::prelude::*;

use super::*;

pub(super) fn hosts(count: u64) -> Vec<Host> {
    let host = |node: u64| Host {
        node: NodeId(node * 7 % 101),
        name: format!("n{node}"),
        datacenter: format!("dc{}", node % 2),
        zone: format!("z{}", node % 3),
        weight: NonZeroU32::MIN.saturating_add((node % 4) as u32),
        holds_data: node != 5,
    };
    (1..=count).map(host).collect()
}

fn layout(birth: u64) -> Layout {
    let table = [("dc0".to_owned(), 2), ("dc1".to_owned(), 1)].into_iter().collect();
    Layout::born(birth, hosts(7), Replication::PerDatacenter(table), 32).unwrap().0
}

#[test]
fn a_layout_comes_back_from_its_bytes() {
    let everywhere = Layout::born(9, hosts(3), Replication::Everywhere(3), 8).unwrap().0;
    for layout in [layout(1), everywhere] {
        assert_eq!(Layout::from_bytes(layout.to_bytes()), Ok(layout));
    }
}

#[test]
fn every_partition_lies_where_it_was_asked_to() {
    let layout = layout(1);
    for partition in (0..32).map(PartitionId) {
        let replicas: Vec<&Host> =
            layout.replicas(partition).map(|node| layout.host(node).unwrap()).collect();
        let in_dc0 = replicas.iter().filter(|host| host.datacenter == "dc0").count();
        assert_eq!((replicas.len(), in_dc0), (3, 2));
        assert!(replicas.iter().all(|host| layout.holds(host.node, partition) && host.holds_data));
    }
}

#[test]
fn a_newer_layout_of_the_same_cluster_is_adopted_and_no_other() {
    let (first, other) = (layout(1), layout(2));
    let second = Layout { version: 2, ..first.clone() };
    assert_eq!(first.told_to(None), Told::Newer);
    assert_eq!(first.told_to(Some(&first)), Told::Known);
    assert_eq!(second.told_to(Some(&first)), Told::Newer);
    assert_eq!(first.told_to(Some(&second)), Told::Known);
    assert_eq!(other.told_to(Some(&first)), Told::Stranger);
}

proptest! {
    #[test]
    fn damaged_bytes_are_refused_or_are_another_layout(spot in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = layout(1).to_bytes().to_vec();
        let spot = spot.index(bytes.len());
        bytes[spot] = byte;
        if let Ok(decoded) = Layout::from_bytes(bytes.into()) {
            prop_assert!(decoded.assignment.nodes().iter().all(|node| decoded.host(*node).is_some()));
        }
    }
}
