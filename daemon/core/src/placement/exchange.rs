//! Passes rows from nodes that have too many to nodes that have too few, along the cheapest chains.
//!
//! A row is a partition, and what of it is passed is a replica (`replicas.rs`) or the first place (`first.rs`). The
//! search needs to know only whether *some* row can be passed from one node to another at some price, so those are
//! counted per pair of nodes, and each pass updates the counts of its row.
//!
//! A chain may use one row twice. If the second use were spoiled by the first, the chain could go directly from the
//! first giver to the last taker by that row, at the same price or a lower one and with fewer passes: chains are the
//! shortest among the cheapest, so that does not happen.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

/// How many rows a node may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: usize,
    pub(super) most: usize,
}

/// What passing a row costs. A row costs one at a node that is new to it and nothing at one that had it before; a
/// pass costs the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Price {
    Refund,
    Free,
    Paid,
}

/// The rows that are passed.
pub(super) trait Rows {
    /// How many rows there are.
    fn len(&self) -> usize;
    /// The nodes that may pass `row` on.
    fn holders(&self, row: usize) -> &[usize];
    /// The nodes that it may be passed to; [`Rows::price`] decides.
    fn takers(&self, row: usize) -> &[usize];
    /// The price of passing `row`, or nothing where that is not possible.
    fn price(&self, row: usize, from: usize, to: usize) -> Option<Price>;
    /// Passes `row`.
    fn pass(&mut self, row: usize, from: usize, to: usize);
}

/// One pass of a chain: by any row that has this price.
#[derive(Debug, Clone, Copy)]
struct Link {
    from: usize,
    to: usize,
    price: Price,
}

/// The cheapest chain found so far that ends at a node.
#[derive(Debug, Clone, Copy, Default)]
struct Label {
    /// Its price and, in the small, its length; `None` while no chain is known.
    cost: Option<i64>,
    /// Its last link; `None` where the chain begins.
    last: Option<Link>,
    /// Whether chains through the node are still to be tried.
    queued: bool,
}

struct Exchange<'a, R> {
    rows: &'a mut R,
    nodes: usize,
    /// The rows of each node.
    held: Vec<BTreeSet<usize>>,
    /// For each pair of nodes, giver first, how many rows can be passed at each price.
    offers: Vec<[u32; 3]>,
}

/// Passes rows until every node is within its bounds, which must be possible.
pub(super) fn settle<R: Rows>(rows: &mut R, bounds: &[Bounds]) {
    let mut held = vec![BTreeSet::new(); bounds.len()];
    for row in 0..rows.len() {
        for holder in rows.holders(row) {
            held.get_mut(*holder).map(|rows| rows.insert(row));
        }
    }
    if held.iter().zip(bounds).all(|(rows, bounds)| (bounds.least..=bounds.most).contains(&rows.len())) {
        return;
    }
    let nodes = bounds.len();
    let mut exchange = Exchange { rows, nodes, held, offers: vec![[0; 3]; nodes * nodes] };
    for row in 0..exchange.rows.len() {
        exchange.offer(row, |count| *count += 1);
    }
    exchange.level(&bounds.iter().map(|bounds| bounds.most).collect::<Vec<_>>());
    exchange.level(&bounds.iter().map(|bounds| bounds.least).collect::<Vec<_>>());
}

impl Price {
    const EVERY: [Self; 3] = [Self::Refund, Self::Free, Self::Paid];

    /// The price of a pass, by whether the giver and the taker had the row before.
    pub(super) const fn of(givers: bool, takers: bool) -> Self {
        match (givers, takers) {
            (false, true) => Self::Refund,
            (true, false) => Self::Paid,
            _ => Self::Free,
        }
    }

    const fn cost(self) -> i64 {
        match self {
            Self::Refund => -1,
            Self::Free => 0,
            Self::Paid => 1,
        }
    }
}

impl<R: Rows> Exchange<'_, R> {
    /// Changes the count of everything that `row` offers.
    fn offer(&mut self, row: usize, change: impl Fn(&mut u32)) {
        for from in self.rows.holders(row) {
            for to in self.rows.takers(row) {
                let Some(price) = self.rows.price(row, *from, *to) else { continue };
                let offers = self.offers.get_mut(from * self.nodes + to);
                offers.and_then(|offers| offers.get_mut(price as usize)).map(&change);
            }
        }
    }

    /// The lowest price at which `from` can pass a row to `to`.
    fn lowest(&self, from: usize, to: usize) -> Option<Price> {
        let offers = self.offers.get(from * self.nodes + to)?;
        Price::EVERY.into_iter().zip(offers).find(|(_, count)| **count > 0).map(|(price, _)| price)
    }

    /// Passes rows from nodes above their limit to nodes below theirs, until there are none of the one or the other.
    fn level(&mut self, limits: &[usize]) {
        while let Some(chain) = self.chain(limits) {
            if !self.pass_along(&chain, limits) {
                return;
            }
        }
    }

    /// The cheapest chain, and the shortest of those, from a node above its limit to one below.
    fn chain(&self, limits: &[usize]) -> Option<Vec<Link>> {
        let labels = self.labels(limits);
        let below = self.loads().zip(limits).map(|(load, limit)| load < *limit);
        let ends = labels.iter().zip(below).enumerate().filter(|(_, (_, below))| *below);
        let ends = ends.filter_map(|(node, (label, _))| label.cost.map(|cost| (cost, node)));
        let (_, mut node) = ends.min()?;
        let mut chain = Vec::new();
        while let Some(link) = labels.get(node).and_then(|label| label.last)
            && chain.len() < self.nodes
        {
            chain.push(link);
            node = link.from;
        }
        chain.reverse();
        Some(chain)
    }

    /// The cheapest chain to each node (Bellman and Ford's search, with a queue): there are refunds on the way, but
    /// no circle that gains, since the rows cost the least that they can for their loads. So each node has its turn
    /// at most once per node; the limit ends the search even if that were wrong.
    fn labels(&self, limits: &[usize]) -> Vec<Label> {
        let mut queue = VecDeque::new();
        let mut labels = vec![Label::default(); self.nodes];
        for (node, ((label, load), limit)) in labels.iter_mut().zip(self.loads()).zip(limits).enumerate() {
            if load > *limit {
                *label = Label { cost: Some(0), last: None, queued: true };
                queue.push_back(node);
            }
        }
        for _ in 0..self.nodes * self.nodes {
            let Some(from) = queue.pop_front() else { break };
            let Some(label) = labels.get_mut(from) else { continue };
            label.queued = false;
            let Some(so_far) = label.cost else { continue };
            for (to, label) in labels.iter_mut().enumerate() {
                let Some(price) = self.lowest(from, to) else { continue };
                // Price first, passes second: no chain has as many passes as there are nodes.
                let cost = so_far + price.cost() * (self.nodes as i64) + 1;
                if label.cost.is_some_and(|known| known <= cost) {
                    continue;
                }
                if !label.queued {
                    queue.push_back(to);
                }
                *label = Label { cost: Some(cost), last: Some(Link { from, to, price }), queued: true };
            }
        }
        labels
    }

    /// Passes one row along each link, again and again while the chain's ends and prices stay the same (it stays the
    /// cheapest as long as it exists, because passing along a cheapest chain makes none cheaper), and says whether
    /// the whole chain was passed once.
    fn pass_along(&mut self, chain: &[Link], limits: &[usize]) -> bool {
        let (Some(first), Some(last)) = (chain.first(), chain.last()) else { return false };
        let mut passed = false;
        while self.is(first.from, limits, Ordering::Greater)
            && self.is(last.to, limits, Ordering::Less)
            && chain.iter().all(|link| self.lowest(link.from, link.to) == Some(link.price))
        {
            if !chain.iter().all(|link| self.pass(*link)) {
                return false;
            }
            passed = true;
        }
        passed
    }

    /// Passes the first row that has the price of `link`; says whether there was one.
    fn pass(&mut self, link: Link) -> bool {
        let Link { from, to, price } = link;
        let mut held = self.held.get(from).into_iter().flatten().copied();
        let Some(row) = held.find(|row| self.rows.price(*row, from, to) == Some(price)) else { return false };
        self.offer(row, |count| *count -= 1);
        self.rows.pass(row, from, to);
        self.offer(row, |count| *count += 1);
        self.held.get_mut(from).map(|rows| rows.remove(&row));
        self.held.get_mut(to).map(|rows| rows.insert(row));
        true
    }

    fn loads(&self) -> impl Iterator<Item = usize> {
        self.held.iter().map(BTreeSet::len)
    }

    /// Whether the load of `node` compares with its limit as `order` says.
    fn is(&self, node: usize, limits: &[usize], order: Ordering) -> bool {
        self.held
            .get(node)
            .map(BTreeSet::len)
            .zip(limits.get(node))
            .is_some_and(|(load, limit)| load.cmp(limit) == order)
    }
}
