//! What placement promises, checked on random clusters and their changes.

mod examples;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::codec::{Decode, Encode};

fn host(number: u64, datacenter: usize, zone: usize, weight: u32) -> Host {
    Host {
        node: NodeId(number),
        name: format!("node-{number}"),
        datacenter: format!("dc{datacenter}"),
        zone: format!("zone{zone}"),
        weight: NonZeroU32::new(weight).unwrap(),
        holds_data: true,
    }
}

fn equal(nodes: u64) -> Vec<Host> {
    (1..=nodes).map(|number| host(number, 0, 0, 1)).collect()
}

fn everywhere(hosts: &[Host], replicas: usize, partitions: u32) -> Assignment {
    place(hosts, &Replication::Everywhere(replicas), partitions, None).unwrap().0
}

fn again(hosts: &[Host], replicas: usize, before: &Assignment) -> (Assignment, Summary) {
    place(hosts, &Replication::Everywhere(replicas), before.partitions(), Some(before)).unwrap()
}

fn every(assignment: &Assignment) -> impl Iterator<Item = PartitionId> {
    (0..assignment.partitions()).map(|partition| PartitionId(partition as u16))
}

fn firsts(assignment: &Assignment) -> BTreeMap<NodeId, usize> {
    let mut firsts = BTreeMap::new();
    for partition in every(assignment) {
        *firsts.entry(assignment.coordinator(partition).unwrap()).or_default() += 1;
    }
    firsts
}

/// The rate at which the amounts that `of` gives add up to `total`, found by halving: not how the code does it.
fn rate(total: f64, of: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e9);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if of(middle) < total { low = middle } else { high = middle }
    }
    high
}

/// The exact shares of a datacenter's nodes.
fn shares(hosts: &[&Host], replicas: usize, partitions: u32) -> Vec<f64> {
    let all = f64::from(partitions);
    let weight = |host: &Host| f64::from(host.weight.get());
    let mut zones: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for host in hosts {
        zones.entry(&host.zone).or_default().push(weight(host));
    }
    let total = all * replicas as f64;
    let sum = |zone: &[f64]| zone.iter().sum::<f64>();
    let apart = replicas <= zones.len();
    let cut = |zone: &[f64], rate: f64| zone.iter().map(|weight| (rate * weight).min(all)).sum::<f64>();
    let rate = match apart {
        true => rate(total, |rate| zones.values().map(|zone| (rate * sum(zone)).min(all)).sum()),
        false => rate(total, |rate| zones.values().map(|zone| cut(zone, rate).max(all)).sum()),
    };
    let share = |host: &&Host| {
        let zone = &zones[host.zone.as_str()];
        let bound = if apart { rate * sum(zone) > all } else { cut(zone, rate) < all };
        if bound { all * weight(host) / sum(zone) } else { (rate * weight(host)).min(all) }
    };
    hosts.iter().map(share).collect()
}

/// Whether `assignment` has everything promised of a result for these nodes, whatever was before.
fn check(hosts: &[Host], replication: &Replication, assignment: &Assignment) {
    let counts = assignment.counts();
    let firsts = firsts(assignment);
    let mut datacenters: BTreeMap<&str, Vec<&Host>> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.holds_data) {
        datacenters.entry(&host.datacenter).or_default().push(host);
    }
    let mut width = 0;
    for (datacenter, hosts) in datacenters {
        let replicas = replication.of(datacenter).min(hosts.len());
        width += replicas;
        let zones: BTreeSet<&str> = hosts.iter().map(|host| host.zone.as_str()).collect();
        for partition in every(assignment) {
            let held = hosts.iter().filter(|host| assignment.holds(host.node, partition));
            let held: Vec<&str> = held.map(|host| host.zone.as_str()).collect();
            assert_eq!(held.len(), replicas, "{partition:?} in {datacenter}");
            assert_eq!(held.into_iter().collect::<BTreeSet<_>>().len(), replicas.min(zones.len()));
        }
        for (host, share) in hosts.iter().zip(shares(&hosts, replicas, assignment.partitions())) {
            let count = counts.get(&host.node).copied().unwrap_or_default();
            assert!((count as f64 - share).abs() < 1.0 - 1e-6, "{} has {count}, not {share}", host.name);
        }
    }
    assert_eq!(assignment.replication(), width);
    for (node, count) in counts {
        let first = firsts.get(&node).copied().unwrap_or_default();
        assert!(
            (count / width..=count.div_ceil(width)).contains(&first),
            "{node} is first in {first} of {count}"
        );
    }
    for partition in every(assignment) {
        assert_eq!(assignment.replicas(partition).collect::<BTreeSet<_>>().len(), width);
    }
}

/// The fewest moves of any assignment within the bounds, tried one by one.
fn fewest(hosts: &[Host], replicas: usize, before: &Assignment) -> usize {
    let zones: BTreeSet<&str> = hosts.iter().map(|host| host.zone.as_str()).collect();
    let shares = shares(&hosts.iter().collect::<Vec<_>>(), replicas, before.partitions());
    let spread = |set: &u32| {
        let held = (0..hosts.len()).filter(|node| set >> node & 1 == 1);
        held.map(|node| hosts[node].zone.as_str()).collect::<BTreeSet<_>>().len() == replicas.min(zones.len())
    };
    let sets = (0..1_u32 << hosts.len()).filter(|set| set.count_ones() as usize == replicas);
    let sets: Vec<u32> = sets.filter(spread).collect();
    // From the loads reached so far to the moves that they cost.
    let mut reached = BTreeMap::from([(vec![0_usize; hosts.len()], 0)]);
    for partition in every(before) {
        let mut next = BTreeMap::new();
        for (loads, moves) in &reached {
            for set in &sets {
                let has = |node: usize| usize::from(set >> node & 1 == 1);
                let loads: Vec<usize> =
                    loads.iter().enumerate().map(|(node, load)| load + has(node)).collect();
                let new = (0..hosts.len())
                    .filter(|node| has(*node) == 1 && !before.holds(hosts[*node].node, partition));
                let moves = moves + new.count();
                let best = next.entry(loads).or_insert(moves);
                *best = moves.min(*best);
            }
        }
        reached = next;
    }
    let fits = |loads: &[usize]| {
        loads.iter().zip(&shares).all(|(load, share)| (*load as f64 - share).abs() < 1.0 - 1e-6)
    };
    reached.into_iter().filter(|(loads, _)| fits(loads)).map(|(_, moves)| moves).min().unwrap()
}

fn any_host() -> impl Strategy<Value = (usize, usize, u32, bool)> {
    (0..2_usize, 0..4_usize, prop_oneof![4 => 1..4_u32, 1 => 1..1_000_u32], prop::bool::weighted(0.9))
}

fn any_hosts() -> impl Strategy<Value = Vec<Host>> {
    prop::collection::vec(any_host(), 1..14).prop_map(|hosts| {
        let numbered = hosts.into_iter().zip(1..);
        let make = |((datacenter, zone, weight, holds_data), number)| Host {
            holds_data,
            ..host(number, datacenter, zone, weight)
        };
        numbered.map(make).collect()
    })
}

fn any_replication() -> impl Strategy<Value = Replication> {
    let table = prop::collection::btree_map(
        select(vec!["dc0".to_owned(), "dc1".to_owned(), "dc2".to_owned()]),
        0..5_usize,
        1..3,
    );
    prop_oneof![(1..5_usize).prop_map(Replication::Everywhere), table.prop_map(Replication::PerDatacenter)]
}

fn any_partitions() -> impl Strategy<Value = u32> {
    select(vec![1, 2, 8, 32, 64])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn results_are_spread_balanced_stable_and_independent_of_the_order(
        hosts in any_hosts(), later in any_hosts(), replication in any_replication(), partitions in any_partitions(),
        seed in any::<Index>(),
    ) {
        let Ok((first, _)) = place(&hosts, &replication, partitions, None) else { return Ok(()) };
        check(&hosts, &replication, &first);
        let Ok((second, summary)) = place(&later, &replication, partitions, Some(&first)) else { return Ok(()) };
        check(&later, &replication, &second);
        prop_assert_eq!(summary.moves, second.moves_from(&first));
        let mut turned = later.clone();
        turned.rotate_left(seed.index(later.len()));
        turned.reverse();
        prop_assert_eq!(&place(&turned, &replication, partitions, Some(&first)).unwrap().0, &second);
        let (third, summary) = place(&later, &replication, partitions, Some(&second)).unwrap();
        prop_assert_eq!((&third, summary.moves), (&second, 0));
        prop_assert_eq!(Assignment::from_bytes(third.to_bytes()), Ok(third));
    }

    #[test]
    fn no_assignment_moves_less(
        nodes in prop::collection::vec((0..3_usize, 1..4_u32), 2..6), change in (any::<Index>(), 0..3_usize, 1..6_u32),
        replicas in 1..4_usize, drain: bool, partitions in select(vec![2_u32, 4, 8]),
    ) {
        let numbered = nodes.iter().zip(1..);
        let mut hosts: Vec<Host> = numbered.map(|((zone, weight), number)| host(number, 0, *zone, *weight)).collect();
        let before = everywhere(&hosts, replicas, partitions);
        let (at, zone, weight) = change;
        let at = at.index(hosts.len());
        if drain { hosts.remove(at); } else { hosts.push(host(9, 0, zone, weight)); }
        let (after, summary) = again(&hosts, replicas, &before);
        let replicas = replicas.min(hosts.len());
        check(&hosts, &Replication::Everywhere(replicas), &after);
        prop_assert_eq!(summary.moves, fewest(&hosts, replicas, &before));
    }

    #[test]
    fn a_node_that_joins_moves_its_share_and_one_that_leaves_what_it_held(
        nodes in 1..24_u64, replicas in 1..6_usize, partitions in any_partitions(), gone in any::<Index>(),
    ) {
        let before = everywhere(&equal(nodes), replicas, partitions);
        let (joined, summary) = again(&equal(nodes + 1), replicas, &before);
        let share = (partitions as usize * replicas).div_ceil(nodes as usize + 1);
        prop_assert!(summary.moves <= share.min(partitions as usize), "{} moves for {share}", summary.moves);
        let mut left = equal(nodes + 1);
        let gone = left.remove(gone.index(left.len()));
        let held = joined.counts().get(&gone.node).copied().unwrap_or_default();
        let (_, summary) = again(&left, replicas, &joined);
        prop_assert!(summary.moves <= held, "{} moves of {held}", summary.moves);
    }

    #[test]
    fn whatever_the_weights_and_zones_others_are_hardly_touched(
        nodes in prop::collection::vec((0..4_usize, 1..9_u32), 2..14), replicas in 1..5_usize,
        partitions in any_partitions(),
    ) {
        let numbered = nodes.iter().zip(1..);
        let hosts: Vec<Host> = numbered.map(|((zone, weight), number)| host(number, 0, *zone, *weight)).collect();
        let (joining, others) = hosts.split_last().unwrap();
        let before = everywhere(others, replicas, partitions);
        let (joined, summary) = again(&hosts, replicas, &before);
        let held = joined.counts().get(&joining.node).copied().unwrap_or_default();
        prop_assert!(summary.moves <= held + others.len(), "{} moves to join with {held}", summary.moves);
        let (_, summary) = again(others, replicas, &joined);
        prop_assert!(summary.moves <= held + others.len(), "{} moves to leave {held}", summary.moves);
    }

    #[test]
    fn bytes_that_are_no_assignment_are_refused_without_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(first) = bytes.first_mut() { *first = 1; }
        if let Ok(assignment) = Assignment::from_bytes(bytes.clone().into()) {
            prop_assert_eq!(assignment.to_bytes(), bytes);
        }
    }
}
