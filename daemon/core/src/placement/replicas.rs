//! The replicas of all partitions in one datacenter.

use std::collections::BTreeMap;

use super::exchange::{Bounds, Price, Rows, settle};
use super::share::{self, Claim};
use super::{Host, Site, tie};

/// A datacenter: everything about its nodes that rows depend on, by a node's index in it.
struct Shape {
    /// Each node's zone, numbered without gaps.
    zones: Vec<usize>,
    /// See [`tie`].
    seeds: Vec<u64>,
    /// How many partitions each node holds.
    bounds: Vec<Bounds>,
    /// The nodes themselves.
    nodes: Vec<usize>,
    /// The replicas of a partition.
    replicas: usize,
    /// How many of those may be in a zone that has another one.
    spare: usize,
}

/// What each partition has, and had.
struct Replicas<'a> {
    shape: &'a Shape,
    /// The replicas of each partition.
    rows: Vec<Vec<usize>>,
    /// The previous ones.
    before: Vec<Vec<usize>>,
}

/// How many more partitions nodes and zones should get, while rows are filled.
struct Room {
    nodes: Vec<i64>,
    zones: Vec<i64>,
}

/// Chooses the replicas of every partition in `site` and appends them to `rows`. Nodes are indices into `usable`,
/// also those of the previous assignment, `kept`.
pub(super) fn place(
    site: &Site,
    usable: &[&Host],
    seeds: &[u64],
    kept: &[Vec<Option<usize>>],
    rows: &mut [Vec<usize>],
) {
    let hosts: Vec<&Host> = site.nodes.iter().filter_map(|node| usable.get(*node).copied()).collect();
    let seeds = site.nodes.iter().filter_map(|node| seeds.get(*node).copied()).collect();
    let shape = Shape::new(&hosts, seeds, site.replicas, rows.len());
    let local = |row: &Vec<Option<usize>>| {
        row.iter().flatten().filter_map(|node| site.nodes.binary_search(node).ok()).collect()
    };
    let before: Vec<Vec<usize>> = kept.iter().map(local).collect();
    let mut replicas = Replicas { shape: &shape, rows: shape.rows(&before), before };
    settle(&mut replicas, &shape.bounds);
    for (row, chosen) in rows.iter_mut().zip(&replicas.rows) {
        row.extend(chosen.iter().filter_map(|node| site.nodes.get(*node)));
    }
}

impl Shape {
    fn new(hosts: &[&Host], seeds: Vec<u64>, replicas: usize, partitions: usize) -> Self {
        let mut numbers: BTreeMap<&str, usize> = hosts.iter().map(|host| (host.zone.as_str(), 0)).collect();
        for (index, number) in numbers.values_mut().enumerate() {
            *number = index;
        }
        let zone = |host: &&Host| numbers.get(host.zone.as_str()).copied().unwrap_or_default();
        let zones: Vec<usize> = hosts.iter().map(zone).collect();
        let claim = |(host, zone): (&&Host, &usize)| Claim { zone: *zone, weight: host.weight.get() };
        let claims: Vec<Claim> = hosts.iter().zip(&zones).map(claim).collect();
        let bounds = share::bounds(&claims, replicas, partitions);
        let spare = replicas.saturating_sub(numbers.len());
        Self { zones, seeds, bounds, nodes: (0..hosts.len()).collect(), replicas, spare }
    }

    fn zone(&self, node: usize) -> usize {
        self.zones.get(node).copied().unwrap_or_default()
    }

    fn has_zone(&self, row: &[usize], zone: usize) -> bool {
        row.iter().any(|node| self.zone(*node) == zone)
    }

    /// Rows that keep as much of `before` as the zones allow. The choice of one replica never costs another kept one
    /// later (the sets of nodes that zones allow are a matroid), so each row has the fewest new replicas possible.
    fn rows(&self, before: &[Vec<usize>]) -> Vec<Vec<usize>> {
        if self.replicas == self.nodes.len() {
            return vec![self.nodes.clone(); before.len()];
        }
        let mut room = Room::new(self);
        let mut rows = vec![Vec::with_capacity(self.replicas); before.len()];
        for (partition, (row, before)) in rows.iter_mut().zip(before).enumerate() {
            self.fill(partition, row, before, &mut room);
        }
        for (partition, row) in rows.iter_mut().enumerate() {
            self.fill(partition, row, &self.nodes, &mut room);
        }
        rows
    }

    /// Adds nodes of `from` to `row` while the row is short and zones allow it: a zone that has no replica yet before
    /// one that has, the zone and then the node with the most room first.
    fn fill(&self, partition: usize, row: &mut Vec<usize>, from: &[usize], room: &mut Room) {
        while row.len() < self.replicas {
            let fresh =
                |at: usize, node: usize| !self.has_zone(row.get(..at).unwrap_or_default(), self.zone(node));
            let shared = row.iter().enumerate().filter(|(at, node)| !fresh(*at, **node)).count();
            let rank = |node: &&usize| {
                let is_fresh = fresh(row.len(), **node);
                let (in_zone, in_node) = room.of(self, **node);
                (is_fresh, if is_fresh { in_zone } else { 0 }, in_node, tie(&self.seeds, **node, partition))
            };
            let allowed =
                |node: &&usize| !row.contains(*node) && (shared < self.spare || fresh(row.len(), **node));
            let Some(best) = from.iter().filter(allowed).max_by_key(rank) else { return };
            room.take(self, *best);
            row.push(*best);
        }
    }
}

impl Room {
    fn new(shape: &Shape) -> Self {
        let mut room = Self {
            nodes: shape.bounds.iter().map(|bounds| bounds.most as i64).collect(),
            zones: vec![0; shape.zones.len()],
        };
        for (nodes, zone) in room.nodes.iter().zip(&shape.zones) {
            if let Some(zone) = room.zones.get_mut(*zone) {
                *zone += nodes;
            }
        }
        room
    }

    /// The room in the zone of `node`, and in itself.
    fn of(&self, shape: &Shape, node: usize) -> (i64, i64) {
        let room = |rooms: &[i64], index: usize| rooms.get(index).copied().unwrap_or_default();
        (room(&self.zones, shape.zone(node)), room(&self.nodes, node))
    }

    fn take(&mut self, shape: &Shape, node: usize) {
        let rooms = [self.nodes.get_mut(node), self.zones.get_mut(shape.zone(node))];
        rooms.into_iter().flatten().for_each(|room| *room -= 1);
    }
}

impl Replicas<'_> {
    fn row(&self, row: usize) -> &[usize] {
        self.rows.get(row).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Rows for Replicas<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn holders(&self, row: usize) -> &[usize] {
        self.row(row)
    }

    fn takers(&self, _row: usize) -> &[usize] {
        &self.shape.nodes
    }

    /// The row must not lose a zone: the taker has the giver's, or one that the row has not, or the giver's zone has
    /// another replica.
    fn price(&self, row: usize, from: usize, to: usize) -> Option<Price> {
        let replicas = self.row(row);
        let left = |zone: usize| replicas.iter().any(|node| *node != from && self.shape.zone(*node) == zone);
        let zones_stay = !left(self.shape.zone(to)) || left(self.shape.zone(from));
        let before = self.before.get(row).map(Vec::as_slice).unwrap_or_default();
        let price = Price::of(before.contains(&from), before.contains(&to));
        (zones_stay && !replicas.contains(&to)).then_some(price)
    }

    fn pass(&mut self, row: usize, from: usize, to: usize) {
        let replicas = self.rows.get_mut(row).into_iter().flatten();
        replicas.filter(|node| **node == from).for_each(|node| *node = to);
    }
}
