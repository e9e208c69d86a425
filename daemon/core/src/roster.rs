//! Every node that was ever heard of: whose name is whose, and whom to connect to.
//!
//! Which of them hold what is the [layout](crate::layout)'s matter.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_u64, put_varint};
use crate::dot::NodeId;

/// A node of the cluster, or one that wants to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// Its stable name.
    pub name: String,
}

/// The nodes that were heard of. A node once in it stays until it is removed, dead or alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// How many nodes the cluster is born with.
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

impl Roster {
    /// A roster without members.
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

    /// Whether as many nodes are known as the cluster is born with.
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

const ROSTER_VERSION: u8 = 1;

impl Encode for Roster {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(ROSTER_VERSION);
        put_varint(out, self.expect as u64);
        put_varint(out, self.members.len() as u64);
        for member in &self.members {
            put_u64(out, member.node.0);
            put_bytes(out, member.name.as_bytes());
        }
    }
}

impl Decode for Roster {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.version("roster", ROSTER_VERSION)?;
        let expect = usize::try_from(input.varint()?).map_err(|_| DecodeError::Invalid("roster: expect"))?;
        let mut roster = Self::new(expect);
        for _ in 0..input.count(9)? {
            let node = NodeId(input.u64()?);
            let name = String::from_utf8(input.bytes()?.to_vec());
            let name = name.map_err(|_| DecodeError::Invalid("roster: name"))?;
            roster.admit(Member { node, name }).map_err(|_| DecodeError::Invalid("roster: names"))?;
        }
        Ok(roster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_node() {
        let mut roster = Roster::new(3);
        let member = |node, name: &str| Member { node: NodeId(node), name: name.into() };
        assert_eq!(roster.admit(member(2, "b")), Ok(true));
        assert_eq!(roster.admit(member(1, "a")), Ok(true));
        assert_eq!(roster.admit(member(2, "b")), Ok(false));
        assert!(roster.admit(member(3, "a")).is_err());
        assert!(!roster.is_complete());
        assert_eq!(Roster::from_bytes(roster.to_bytes()), Ok(roster));
    }
}
