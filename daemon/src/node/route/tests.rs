//! Routes of partitions on the way from one layout to the next.

use std::num::NonZeroU32;

use settle_core::placement::{Host, Replication};
use settle_core::roster::Member;

use super::*;

const PARTITIONS: u32 = 16;

fn layout(nodes: u64) -> Layout {
    let host = |node| Host {
        node: NodeId(node),
        name: format!("n{node}"),
        datacenter: "d".to_owned(),
        zone: "z".to_owned(),
        weight: NonZeroU32::MIN,
        holds_data: true,
    };
    Layout::born(7, (1..=nodes).map(host).collect(), Replication::Everywhere(3), PARTITIONS).unwrap().0
}

fn peers(own: u64) -> Vec<Arc<Peer>> {
    let member = |node| Member { node: NodeId(node), name: format!("n{node}") };
    (1..=5).filter(|node| *node != own).map(|node| Arc::new(Peer::new(member(node)))).collect()
}

/// The routes of a node in a step of the change from three nodes to five.
fn routes(own: u64, step: u8, dropped: &BTreeSet<PartitionId>) -> Routes {
    let (old, new) = (layout(3), layout(5));
    let step = Step::EVERY.into_iter().find(|known| known.number() == step);
    let standing = Standing { birth: 7, position: Position { version: 1, step }, acked: false };
    let moving = Moving { layout: &old, next: step.map(|step| (&new, step)), standing, dropped };
    Routes::new(Some(moving), NodeId(own), &peers(own))
}

fn ids() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(|id| PartitionId(id as u16))
}

#[test]
fn what_a_step_asks_of_whom() {
    let new = layout(5);
    let (mut moved, mut stays) = (0, 0);
    for step in 0..=5 {
        for own in 1..=5 {
            let routes = routes(own, step, &BTreeSet::new());
            for id in ids() {
                let route = routes.of(id);
                let of_new = |node: u64| new.holds(NodeId(node), id);
                let (in_old, in_new) = (own <= 3, of_new(own));
                let is_moved = (4..=5).any(of_new);
                let both = is_moved && (1..=3).contains(&step);
                assert_eq!(route.sizes, PerSet([3, if both { 3 } else { 0 }]));
                assert_eq!(route.own, in_old || (step > 0 && in_new));
                let coordinates = match step {
                    0..=2 => in_old,
                    3 => in_old || in_new,
                    _ => in_new,
                };
                assert_eq!(route.coordinates, coordinates, "{step} {own}");
                let counted = match step {
                    0 => Sets::of(in_old, false),
                    _ if both => Sets::of(in_old, in_new),
                    4.. => Sets::of(in_new, false),
                    _ => Sets::of(in_old, false),
                };
                assert_eq!(route.sets, counted);
                // Everybody's sets together are the replicas.
                let partners = route.partners.iter().map(|partner| partner.sets);
                assert_eq!(partners.chain([route.sets]).collect::<PerSet>(), route.sizes);
                (moved, stays) = (moved + usize::from(is_moved), stays + usize::from(!is_moved));
            }
        }
    }
    assert!(moved > 0 && stays > 0, "{moved} {stays}");
}

#[test]
fn what_is_dropped_is_not_held_and_not_served() {
    let new = layout(5);
    let leaving = |id: &PartitionId| !new.holds(NodeId(1), *id);
    let dropped: BTreeSet<PartitionId> = ids().filter(leaving).collect();
    assert!(!dropped.is_empty() && dropped.len() < PARTITIONS as usize);
    let routes = routes(1, 5, &dropped);
    for id in ids() {
        assert_eq!(routes.of(id).own, !dropped.contains(&id));
        assert!(!routes.of(id).is_shared_with(NodeId(2)) || !dropped.contains(&id));
        // What is about to be dropped by others is still fetched from, and not written to.
        let leaving = routes.of(id).partners.iter().filter(|partner| partner.sets.is_empty());
        assert!(leaving.into_iter().all(|partner| !new.holds(partner.peer.node, id)));
    }
}

#[test]
fn a_request_of_an_earlier_step_is_seen_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (node, _) = crate::testing::open(directory.path(), "[cluster]\nexpect = 1\nreplication = 1\n");
        node.found(9).await.unwrap();
        let now = node.routes().position();
        let later = Position { step: Some(Step::WriteBoth), ..now };
        let (glance, request) = (node.routes(), node.routes_for_request());
        assert!(node.older_requests_ended(later), "the present routes were not replaced");
        node.reroute();
        assert!(!node.older_requests_ended(later));
        assert!(node.older_requests_ended(now), "it began in this very stage");
        drop(glance);
        assert!(!node.older_requests_ended(later));
        drop(request);
        assert!(node.older_requests_ended(later));
    });
}

/// A layout may name a replica that this node has not met, as after joining. It lacks what it was not sent.
#[test]
fn replicas_that_were_not_heard_of_count_among_the_others() {
    let (layout, nobody) = (layout(3), BTreeSet::new());
    let standing = Standing { birth: 7, position: Position::default(), acked: false };
    let moving = Moving { layout: &layout, next: None, standing, dropped: &nobody };
    let routes = Routes::new(Some(moving), NodeId(1), &peers(1)[..1]);
    for id in ids() {
        assert_eq!(routes.of(id).partners.len(), 1);
        let mut others = routes.of(id).others();
        others.sort_unstable();
        assert_eq!(others, [NodeId(2), NodeId(3)]);
    }
}
