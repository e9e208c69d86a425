//! Which nodes hold which partition.
//!
//! This version knows full replication only: every node holds every partition.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_u64, put_varint};
use crate::dot::NodeId;

/// A node of the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// Its stable name.
    pub name: String,
}

/// The nodes that hold the data. A node once in it stays until it is removed, dead or alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How many nodes the cluster is meant to have at the least; quorums are counted over no fewer.
    pub expect: usize,
    /// Sorted by identity.
    members: Vec<Member>,
}

/// Why a node cannot be a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "node {joining} calls itself {name:?}, but that name belongs to node {known}; give it another node.name, \
     or start it with the data directory of the node it replaces"
)]
pub struct NameTaken {
    /// The node that was refused.
    pub joining: NodeId,
    /// The name that both claim.
    pub name: String,
    /// The member that has the name.
    pub known: NodeId,
}

impl Layout {
    /// A layout without members.
    #[must_use]
    pub const fn new(expect: usize) -> Self {
        Self { expect, members: Vec::new() }
    }

    /// Adds a member, and says whether it was new.
    ///
    /// # Errors
    /// [`NameTaken`] when another node has the name already.
    pub fn admit(&mut self, member: Member) -> Result<bool, NameTaken> {
        let taken = self.members.iter().find(|known| known.name == member.name && known.node != member.node);
        if let Some(known) = taken {
            return Err(NameTaken { joining: member.node, name: member.name, known: known.node });
        }
        match self.members.binary_search_by_key(&member.node, |known| known.node) {
            Ok(_) => Ok(false),
            Err(index) => {
                self.members.insert(index, member);
                Ok(true)
            }
        }
    }

    /// The members, sorted by identity.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many replicas each partition has, counting those that are expected but not known yet.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.members.len().max(self.expect)
    }

    /// Whether every expected replica is known: before that, nothing may be forgotten on the ground that all have it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.members.len() >= self.expect
    }

    /// The member with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The member with this identity.
    #[must_use]
    pub fn by_node(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }
}

const LAYOUT_VERSION: u8 = 1;

impl Encode for Layout {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(LAYOUT_VERSION);
        put_varint(out, self.expect as u64);
        put_varint(out, self.members.len() as u64);
        for member in &self.members {
            put_u64(out, member.node.0);
            put_bytes(out, member.name.as_bytes());
        }
    }
}

impl Decode for Layout {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.version("layout", LAYOUT_VERSION)?;
        let expect = usize::try_from(input.varint()?).map_err(|_| DecodeError::Invalid("layout: expect"))?;
        let mut layout = Self::new(expect);
        for _ in 0..input.count(9)? {
            let node = NodeId(input.u64()?);
            let name = String::from_utf8(input.bytes()?.to_vec());
            let name = name.map_err(|_| DecodeError::Invalid("layout: name"))?;
            layout.admit(Member { node, name }).map_err(|_| DecodeError::Invalid("layout: names"))?;
        }
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_node() {
        let mut layout = Layout::new(3);
        let member = |node, name: &str| Member { node: NodeId(node), name: name.into() };
        assert_eq!(layout.admit(member(2, "b")), Ok(true));
        assert_eq!(layout.admit(member(1, "a")), Ok(true));
        assert_eq!(layout.admit(member(2, "b")), Ok(false));
        assert!(layout.admit(member(3, "a")).is_err());
        assert_eq!((layout.replicas(), layout.is_complete()), (3, false));
        assert_eq!(Layout::from_bytes(layout.to_bytes()), Ok(layout));
    }
}
