//! Who a member of the gossip is, and which of two claims to be the same node wins.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use settle_core::dot::{Epoch, NodeId};

use super::Identity;

/// The longest name of a node, in bytes. Longer ones could make a datagram too large to be sent.
const NAME_BYTES_MAX: usize = 63;

/// A node in one of its lives, as the gossip protocol knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub(super) struct Id {
    pub(super) node: NodeId,
    pub(super) epoch: Epoch,
    /// How often it came back in this life after others had declared it dead.
    renewal: u32,
    pub(super) peer: SocketAddr,
    pub(super) name: String,
}

/// An [`Id`] in datagrams, where nothing is checked yet.
#[derive(Serialize, Deserialize)]
struct Wire {
    node: u64,
    epoch: u64,
    renewal: u32,
    peer: SocketAddr,
    name: String,
}

// === impl Id ===

impl Id {
    /// The first identity of this life.
    pub(super) fn first(identity: &Identity) -> Self {
        let Identity { node, epoch, peer, ref name, .. } = *identity;
        Self { node, epoch, renewal: 0, peer, name: name.clone() }
    }
}

impl foca::Identity for Id {
    /// A node keeps its slot when it moves to another address.
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewal: self.renewal.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    /// The later life wins, and in one life the later return. The rest makes the order total: of two different
    /// identities one always wins, the same one everywhere.
    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        let rank = |id: &Self| (id.epoch, id.renewal, id.peer);
        rank(self).cmp(&rank(adversary)).then_with(|| self.name.cmp(&adversary.name)).is_gt()
    }
}

impl TryFrom<Wire> for Id {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let Wire { node, epoch, renewal, peer, name } = wire;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err("a name that no node can have");
        }
        if peer.ip().is_unspecified() || peer.port() == 0 {
            return Err("an address that nobody can use");
        }
        Ok(Self { node: NodeId(node), epoch: Epoch(epoch), renewal, peer, name })
    }
}

impl From<Id> for Wire {
    fn from(id: Id) -> Self {
        let Id { node: NodeId(node), epoch: Epoch(epoch), renewal, peer, name } = id;
        Self { node, epoch, renewal, peer, name }
    }
}
