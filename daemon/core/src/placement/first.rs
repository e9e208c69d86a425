//! The order of a partition's replicas: who comes first, and in what order the others follow.

use super::exchange::{Bounds, Price, Rows, settle};
use super::tie;

/// Rows of replicas, the first place of which is passed around.
struct Firsts<'a> {
    rows: Vec<Vec<usize>>,
    /// Who came first in the previous assignment, where it may still hold data.
    before: &'a [Option<usize>],
}

/// Orders each row. A node comes first in its share of the rows that it is in, where it came first before if
/// possible; the others follow in an order that depends on nothing but the node and the partition.
pub(super) fn order(rows: Vec<Vec<usize>>, before: &[Option<usize>], seeds: &[u64]) -> Vec<Vec<usize>> {
    let bounds = bounds(&rows, seeds.len());
    let mut firsts = Firsts { rows, before };
    firsts.begin(&bounds, seeds);
    settle(&mut firsts, &bounds);
    for (partition, row) in firsts.rows.iter_mut().enumerate() {
        if let Some((_, others)) = row.split_first_mut() {
            others.sort_by_key(|node| tie(seeds, *node, partition));
        }
    }
    firsts.rows
}

/// In how many rows each node comes first. All rows have the same length, so with every replica coming first in a
/// fraction of a row, each node has its rows divided by that length.
fn bounds(rows: &[Vec<usize>], nodes: usize) -> Vec<Bounds> {
    let mut held = vec![0_usize; nodes];
    for node in rows.iter().flatten() {
        if let Some(held) = held.get_mut(*node) {
            *held += 1;
        }
    }
    let length = rows.first().map_or(1, Vec::len).max(1);
    held.iter().map(|held| Bounds { least: held / length, most: held.div_ceil(length) }).collect()
}

impl Firsts<'_> {
    /// Puts the previous first node first where it is still a replica, else the one that lacks most first places.
    fn begin(&mut self, bounds: &[Bounds], seeds: &[u64]) {
        let mut room: Vec<i64> = bounds.iter().map(|bounds| bounds.most as i64).collect();
        let mut open = Vec::new();
        for (partition, (row, before)) in self.rows.iter_mut().zip(self.before).enumerate() {
            match row.iter().position(|node| Some(*node) == *before) {
                Some(at) => put_first(row, at, &mut room),
                None => open.push(partition),
            }
        }
        for partition in open {
            let Some(row) = self.rows.get_mut(partition) else { continue };
            let rank = |node| (room.get(node).copied().unwrap_or_default(), tie(seeds, node, partition));
            let best = row.iter().enumerate().max_by_key(|(_, node)| rank(**node)).map(|(at, _)| at);
            if let Some(at) = best {
                put_first(row, at, &mut room);
            }
        }
    }
}

fn put_first(row: &mut [usize], at: usize, room: &mut [i64]) {
    row.swap(0, at);
    if let Some(room) = row.first().and_then(|node| room.get_mut(*node)) {
        *room -= 1;
    }
}

impl Rows for Firsts<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn holders(&self, row: usize) -> &[usize] {
        self.takers(row).get(..1).unwrap_or_default()
    }

    fn takers(&self, row: usize) -> &[usize] {
        self.rows.get(row).map(Vec::as_slice).unwrap_or_default()
    }

    fn price(&self, row: usize, from: usize, to: usize) -> Option<Price> {
        let replicas = self.takers(row);
        let possible = from != to && replicas.first() == Some(&from) && replicas.contains(&to);
        let before = self.before.get(row).copied().flatten();
        possible.then(|| Price::of(before == Some(from), before == Some(to)))
    }

    fn pass(&mut self, row: usize, _from: usize, to: usize) {
        let Some(replicas) = self.rows.get_mut(row) else { return };
        if let Some(at) = replicas.iter().position(|node| *node == to) {
            replicas.swap(0, at);
        }
    }
}
