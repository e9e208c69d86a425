//! Which nodes hold which partition: computed from the nodes and the previous assignment alone, so that every node
//! of a cluster comes to the same result.
//!
//! Each datacenter is a problem of its own, solved in three steps.
//!
//! 1. **Shares** (`share.rs`). A node's share of the replicas is proportional to its weight, as far as no node
//!    holds a partition twice and zones stay apart. It is a fraction; the node may hold its floor or its ceiling.
//! 2. **Rows** (`replicas.rs`). Each partition keeps as many of its previous replicas as the zones allow and is
//!    filled up from the nodes that lack most.
//! 3. **Exchange** (`exchange.rs`). While a node is outside its bounds, replicas are passed along the cheapest chain
//!    of nodes from one that has too many to one that has too few. A kept replica costs nothing, another costs one.
//!
//! The idea is that of "Optimal partition assignment in Garage" (Oulamara and Auvolat): an assignment is a flow from
//! partitions through zones to nodes, and the closest one to the previous assignment is the flow of least cost.
//! Garage first maximises the bytes that a partition may have and then removes negative cycles. Here the sizes are
//! given by the shares, and since every partition could in fractions be spread exactly by share, whole replicas that
//! respect floors and ceilings always exist. The rows of step 2 have the least cost of all rows, and a cheapest
//! chain keeps the cost the least for the loads reached (successive shortest paths). So the result is optimal: no
//! assignment within the bounds moves fewer replicas. As the nodes of a chain pass whole partitions, the search runs
//! over nodes only, a hundred instead of some hundred thousand edges.
//!
//! A last exchange (`first.rs`) spreads who comes first: the node that should coordinate a partition's writes.
//!
//! # What holds
//!
//! With *P* partitions, *r* replicas and *n* usable nodes in a datacenter:
//!
//! - each partition has exactly min(*r*, *n*) replicas there, in min(*r*, zones) zones; zones go before weights;
//! - each node holds its share rounded down or up: less than one partition away from it, so nodes that weigh the
//!   same, in zones that weigh the same, differ by one at most;
//! - each node comes first in its partitions divided by the replicas of a partition, rounded down or up;
//! - nothing moves, not even an order, when the nodes are those of the previous assignment;
//! - no assignment within these bounds has fewer moves (compared with all of them in small clusters);
//! - a node that joins moves what it is to hold, one that leaves moves what it held, and both at most one replica more
//!   per other node (seen in the tests, not proven); in one zone of equal weights not even that, so that a node that
//!   joins *n* others moves at most ⌈*P r* / (*n* + 1)⌉ replicas.
//!
//! Time and memory: with 128 nodes, 3 replicas and 4,096 partitions some tens of milliseconds, 100 when most of the
//! replicas must move; the counts of an exchange take 12 bytes per pair of nodes.

mod assignment;
mod exchange;
mod first;
mod replicas;
mod share;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use crate::dot::NodeId;
use crate::key::PartitionId;

pub use assignment::Assignment;

/// The largest number of partitions.
pub const PARTITIONS_MAX: u32 = 65_536;

/// The number of partitions of a cluster whose operator asks for none.
pub const PARTITIONS_DEFAULT: u32 = 128;

/// A node as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its identity.
    pub node: NodeId,
    /// Its stable name. Ties are broken by name, so that clusters with the same names are placed the same whatever
    /// identities their nodes drew.
    pub name: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its zone in that datacenter: what fails together.
    pub zone: String,
    /// Its capacity, in any unit that all nodes of the datacenter share.
    pub weight: NonZeroU32,
    /// Whether it is to hold data; a node that leaves or is drained is not.
    pub holds_data: bool,
}

/// How many replicas a partition has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// As many in every datacenter.
    Everywhere(usize),
    /// By datacenter; one that is not named holds nothing.
    PerDatacenter(BTreeMap<String, usize>),
}

/// What a new assignment means for the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many replicas of partitions some node must fetch; 0 without a previous assignment.
    pub moves: usize,
    /// Every node listed or gone, by identity.
    pub nodes: Vec<NodeCount>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// How many partitions a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeCount {
    /// The node.
    pub node: NodeId,
    /// Its partitions in the previous assignment.
    pub before: usize,
    /// Its partitions in the new one.
    pub after: usize,
}

/// The nodes do not suffice for what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A datacenter has fewer usable nodes than replicas: each of them holds everything.
    FewerNodes {
        /// The datacenter.
        datacenter: String,
        /// The replicas asked for.
        replicas: usize,
        /// The usable nodes.
        nodes: usize,
    },
    /// A datacenter has fewer zones than replicas: some replicas of a partition share a zone.
    FewerZones {
        /// The datacenter.
        datacenter: String,
        /// The replicas that a partition has there.
        replicas: usize,
        /// The zones with usable nodes.
        zones: usize,
    },
    /// A datacenter has usable nodes, but no replicas were asked for there: they hold nothing.
    Unused {
        /// The datacenter.
        datacenter: String,
        /// The usable nodes.
        nodes: usize,
    },
}

/// Why nothing could be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The number of partitions is not one that a cluster can have.
    #[error("{0} partitions: their number must be a power of two from 1 to {PARTITIONS_MAX}")]
    Partitions(u32),
    /// The previous assignment has another number of partitions.
    #[error(
        "the cluster has {previous} partitions, which cannot become {wanted}: their number is set at its birth"
    )]
    PartitionsChanged {
        /// The number so far.
        previous: u32,
        /// The number asked for.
        wanted: u32,
    },
    /// A node is listed twice.
    #[error("node {0} is listed twice; list each node once")]
    Twice(NodeId),
    /// No node would hold anything.
    #[error("no node would hold data; at least one must, in a datacenter with at least one replica")]
    Nowhere,
}

/// Usable nodes of one datacenter, by their index among all usable ones, and how many replicas they hold together.
struct Site {
    nodes: Vec<usize>,
    replicas: usize,
}

/// Assigns `partitions` partitions to `hosts`, moving as few replicas away from `previous` as it can.
///
/// # Errors
/// [`PlacementError`], when the request makes no sense. Too few nodes or zones are not an error but a [`Warning`].
pub fn place(
    hosts: &[Host],
    replication: &Replication,
    partitions: u32,
    previous: Option<&Assignment>,
) -> Result<(Assignment, Summary), PlacementError> {
    check(hosts, partitions, previous)?;
    let mut usable: Vec<&Host> = hosts.iter().filter(|host| host.holds_data).collect();
    usable.sort_by(|a, b| (&a.name, a.node).cmp(&(&b.name, b.node)));
    let (sites, warnings) = sites(&usable, replication);
    let seeds: Vec<u64> =
        usable.iter().map(|host| xxhash_rust::xxh3::xxh3_64(host.name.as_bytes())).collect();
    let kept = kept(&usable, partitions, previous);
    let mut rows = vec![Vec::new(); kept.len()];
    for site in sites {
        replicas::place(&site, &usable, &seeds, &kept, &mut rows);
    }
    let firsts: Vec<Option<usize>> = kept.iter().map(|row| row.first().copied().flatten()).collect();
    let rows = first::order(rows, &firsts, &seeds);
    let named =
        rows.iter().map(|row| row.iter().filter_map(|index| usable.get(*index)).map(|host| host.node));
    let assignment =
        Assignment::from_rows(named.map(Iterator::collect).collect()).ok_or(PlacementError::Nowhere)?;
    let summary = summary(hosts, previous, &assignment, warnings);
    Ok((assignment, summary))
}

/// A number that looks random, for one node and partition: breaks ties without a preference that grows with the
/// number of partitions.
fn tie(seeds: &[u64], node: usize, partition: usize) -> u64 {
    let seed = seeds.get(node).copied().unwrap_or_default();
    xxhash_rust::xxh3::xxh3_64_with_seed(&(partition as u64).to_le_bytes(), seed)
}

fn check(hosts: &[Host], partitions: u32, previous: Option<&Assignment>) -> Result<(), PlacementError> {
    if !partitions.is_power_of_two() || partitions > PARTITIONS_MAX {
        return Err(PlacementError::Partitions(partitions));
    }
    if let Some(previous) = previous.map(Assignment::partitions).filter(|count| *count != partitions) {
        return Err(PlacementError::PartitionsChanged { previous, wanted: partitions });
    }
    let mut seen = BTreeSet::new();
    match hosts.iter().find(|host| !seen.insert(host.node)) {
        Some(host) => Err(PlacementError::Twice(host.node)),
        None => Ok(()),
    }
}

/// The previous replicas of each partition, `None` for a node that may hold data no more.
fn kept(usable: &[&Host], partitions: u32, previous: Option<&Assignment>) -> Vec<Vec<Option<usize>>> {
    let index: BTreeMap<NodeId, usize> =
        usable.iter().enumerate().map(|(index, host)| (host.node, index)).collect();
    let row = |partition| {
        let nodes = previous.into_iter().flat_map(move |previous| previous.replicas(partition));
        nodes.map(|node| index.get(&node).copied()).collect()
    };
    (0..partitions).map(|partition| row(PartitionId(partition as u16))).collect()
}

fn sites(usable: &[&Host], replication: &Replication) -> (Vec<Site>, Vec<Warning>) {
    let mut nodes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    if let Replication::PerDatacenter(table) = replication {
        nodes.extend(table.keys().map(|datacenter| (datacenter.as_str(), Vec::new())));
    }
    for (index, host) in usable.iter().enumerate() {
        nodes.entry(&host.datacenter).or_default().push(index);
    }
    let (mut sites, mut warnings) = (Vec::new(), Vec::new());
    for (datacenter, nodes) in nodes {
        let asked = replication.of(datacenter);
        let replicas = asked.min(nodes.len());
        let zones: BTreeSet<&str> =
            nodes.iter().filter_map(|index| usable.get(*index)).map(|host| host.zone.as_str()).collect();
        warnings.extend(warning(datacenter, asked, nodes.len()));
        if zones.len() < replicas {
            let datacenter = datacenter.to_owned();
            warnings.push(Warning::FewerZones { datacenter, replicas, zones: zones.len() });
        }
        sites.push(Site { nodes, replicas });
    }
    (sites, warnings)
}

fn warning(datacenter: &str, replicas: usize, nodes: usize) -> Option<Warning> {
    let datacenter = datacenter.to_owned();
    match replicas {
        0 if nodes > 0 => Some(Warning::Unused { datacenter, nodes }),
        _ if nodes < replicas => Some(Warning::FewerNodes { datacenter, replicas, nodes }),
        _ => None,
    }
}

fn summary(
    hosts: &[Host],
    previous: Option<&Assignment>,
    assignment: &Assignment,
    warnings: Vec<Warning>,
) -> Summary {
    let before = previous.map(Assignment::counts).unwrap_or_default();
    let after = assignment.counts();
    let nodes: BTreeSet<NodeId> = hosts.iter().map(|host| host.node).chain(before.keys().copied()).collect();
    let count = |counts: &BTreeMap<NodeId, usize>, node| counts.get(node).copied().unwrap_or_default();
    let nodes = nodes.iter().map(|node| NodeCount {
        node: *node,
        before: count(&before, node),
        after: count(&after, node),
    });
    let moves = previous.map_or(0, |previous| assignment.moves_from(previous));
    Summary { moves, nodes: nodes.collect(), warnings }
}

impl Replication {
    /// The replicas asked for in `datacenter`.
    #[must_use]
    pub fn of(&self, datacenter: &str) -> usize {
        match self {
            Self::Everywhere(replicas) => *replicas,
            Self::PerDatacenter(table) => table.get(datacenter).copied().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewerNodes { datacenter, replicas, nodes } => write!(
                f,
                "datacenter {datacenter:?} has {nodes} usable nodes for {replicas} replicas: each holds everything"
            ),
            Self::FewerZones { datacenter, replicas, zones } => write!(
                f,
                "datacenter {datacenter:?} has {zones} zones for {replicas} replicas: replicas share a zone"
            ),
            Self::Unused { datacenter, nodes } => write!(
                f,
                "datacenter {datacenter:?} has {nodes} usable nodes but no replication: they hold nothing"
            ),
        }
    }
}
