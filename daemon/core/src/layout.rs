//! Which nodes hold which partition, as the cluster has decided it.
//!
//! A cluster is born once, with layout 1; every later one follows from its predecessor. Where each partition lies is
//! computed ([`crate::placement`]); what is decided, stored and told is the result. How the next one is decided is in
//! [`decide`], how a cluster gets there in [`steps`].

pub mod decide;
pub mod sets;
pub mod steps;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_u64, put_varint};
use crate::dot::NodeId;
use crate::key::PartitionId;
use crate::placement::{Assignment, Host, PlacementError, Replication, Summary, place};

/// A decided layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Drawn when the cluster was born: tells two clusters of one name apart.
    pub birth: u64,
    /// Rises by one with every change; 1 at birth.
    pub version: u64,
    /// Sorted by identity.
    hosts: Vec<Host>,
    replication: Replication,
    assignment: Assignment,
}

/// What to make of a layout that another node tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is this node's own, or older.
    Known,
    /// It is to be adopted.
    Newer,
    /// It is that of another cluster: both were born separately and must never mix.
    Stranger,
}

impl Layout {
    /// The first layout of a cluster.
    ///
    /// # Errors
    /// [`PlacementError`] when the nodes cannot hold anything.
    pub fn born(
        birth: u64,
        hosts: Vec<Host>,
        replication: Replication,
        partitions: u32,
    ) -> Result<(Self, Summary), PlacementError> {
        let (assignment, summary) = place(&hosts, &replication, partitions, None)?;
        let mut layout = Self { birth, version: 1, hosts, replication, assignment };
        layout.hosts.sort_by_key(|host| host.node);
        Ok((layout, summary))
    }

    /// The layout after this one, with other nodes or another replication, and what it means; as few replicas move as can.
    ///
    /// # Errors
    /// [`PlacementError`] when the nodes cannot hold anything.
    pub fn next(
        &self,
        hosts: Vec<Host>,
        replication: Replication,
    ) -> Result<(Self, Summary), PlacementError> {
        let (assignment, summary) = place(&hosts, &replication, self.partitions(), Some(&self.assignment))?;
        let (birth, version) = (self.birth, self.version + 1);
        let mut layout = Self { birth, version, hosts, replication, assignment };
        layout.hosts.sort_by_key(|host| host.node);
        Ok((layout, summary))
    }

    /// Whether it can be the layout after `current`.
    #[must_use]
    pub fn follows(&self, current: &Self) -> bool {
        self.birth == current.birth
            && Some(self.version) == current.version.checked_add(1)
            && self.partitions() == current.partitions()
    }

    /// The nodes, sorted by identity.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The node with this identity.
    #[must_use]
    pub fn host(&self, node: NodeId) -> Option<&Host> {
        let index = self.hosts.binary_search_by_key(&node, |host| host.node).ok()?;
        self.hosts.get(index)
    }

    /// How many replicas were asked for.
    #[must_use]
    pub const fn replication(&self) -> &Replication {
        &self.replication
    }

    /// The number of partitions.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.assignment.partitions()
    }

    /// The replicas of a partition, the preferred coordinator first.
    pub fn replicas(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        self.assignment.replicas(partition)
    }

    /// The nodes that hold at least one partition, some of them more than once.
    pub(super) fn holding(&self) -> impl Iterator<Item = NodeId> {
        PartitionId::each(self.partitions()).flat_map(|id| self.replicas(id))
    }

    /// Whether a node is a replica of a partition.
    #[must_use]
    pub fn holds(&self, node: NodeId, partition: PartitionId) -> bool {
        self.assignment.holds(node, partition)
    }

    /// What a node with the layout `own`, if it has one, makes of this one.
    #[must_use]
    pub fn told_to(&self, own: Option<&Self>) -> Told {
        match own {
            None => Told::Newer,
            Some(own) if own.birth != self.birth => Told::Stranger,
            Some(own) if own.version >= self.version => Told::Known,
            Some(_) => Told::Newer,
        }
    }
}

/// The format of a stored or told layout.
const LAYOUT_VERSION: u8 = 1;

impl Encode for Layout {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(LAYOUT_VERSION);
        put_u64(out, self.birth);
        put_varint(out, self.version);
        put_varint(out, self.hosts.len() as u64);
        self.hosts.iter().for_each(|host| put_host(out, host));
        put_replication(out, &self.replication);
        self.assignment.encode(out);
    }
}

impl Decode for Layout {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.version("layout", LAYOUT_VERSION)?;
        let (birth, version) = (input.u64()?, input.varint()?);
        let count = input.count(HOST_BYTES_MIN)?;
        // In memory each is several times larger: growing costs what really arrives.
        let mut hosts: Vec<Host> = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let host = host(input)?;
            if hosts.last().is_some_and(|last| last.node >= host.node) {
                return Err(DecodeError::Invalid("layout: nodes out of order"));
            }
            hosts.push(host);
        }
        let layout = Self {
            birth,
            version,
            hosts,
            replication: replication(input)?,
            assignment: Assignment::decode(input)?,
        };
        if !layout.assignment.nodes().iter().all(|node| layout.host(*node).is_some()) {
            return Err(DecodeError::Invalid("layout: a partition lies on a node that is not listed"));
        }
        Ok(layout)
    }
}

/// An identity, three texts, a weight and a flag.
const HOST_BYTES_MIN: usize = 13;

fn put_host(out: &mut Vec<u8>, host: &Host) {
    put_u64(out, host.node.0);
    for text in [&host.name, &host.datacenter, &host.zone] {
        put_bytes(out, text.as_bytes());
    }
    put_varint(out, u64::from(host.weight.get()));
    out.push(u8::from(host.holds_data));
}

fn host(input: &mut Reader) -> Result<Host, DecodeError> {
    let node = NodeId(input.u64()?);
    let [name, datacenter, zone] = [text(input)?, text(input)?, text(input)?];
    let weight = u32::try_from(input.varint()?).ok().and_then(NonZeroU32::new);
    let weight = weight.ok_or(DecodeError::Invalid("layout: a weight is 1 or more"))?;
    Ok(Host { node, name, datacenter, zone, weight, holds_data: input.u8()? != 0 })
}

/// A number for all datacenters is a table without names behind it.
fn put_replication(out: &mut Vec<u8>, replication: &Replication) {
    match replication {
        Replication::Everywhere(replicas) => {
            put_varint(out, 0);
            put_varint(out, *replicas as u64);
        }
        Replication::PerDatacenter(table) => {
            put_varint(out, 1 + table.len() as u64);
            for (datacenter, replicas) in table {
                put_bytes(out, datacenter.as_bytes());
                put_varint(out, *replicas as u64);
            }
        }
    }
}

fn replication(input: &mut Reader) -> Result<Replication, DecodeError> {
    let number = |input: &mut Reader| {
        usize::try_from(input.varint()?).map_err(|_| DecodeError::Invalid("layout: replication"))
    };
    let Some(length) = input.varint()?.checked_sub(1) else {
        return Ok(Replication::Everywhere(number(input)?));
    };
    let mut table = BTreeMap::new();
    for _ in 0..length {
        // Ends with the input at the latest.
        table.insert(text(input)?, number(input)?);
    }
    Ok(Replication::PerDatacenter(table))
}

fn text(input: &mut Reader) -> Result<String, DecodeError> {
    let bytes = input.bytes()?.to_vec();
    String::from_utf8(bytes).map_err(|_| DecodeError::Invalid("layout: a name is not UTF-8"))
}

#[cfg(test)]
mod tests;
