//! Who belongs to the cluster: learned from gossip and handshakes, kept durably, never forgotten by itself.

use std::sync::{Arc, PoisonError};

use settle_core::codec::{Decode, Encode};
use settle_core::roster::{Member, NameTaken, Roster};
use settle_core::storage::{Batch, Rows, StorageError, Table};

use crate::peer::Peer;

use super::commit::Waiter;
use super::{Node, part};

/// The row of the stored roster.
const ROSTER_ROW: &[u8] = b"roster";

/// The stored roster, or one with this node alone.
pub(crate) fn stored_roster(rows: &dyn Rows, expect: usize, own: Member) -> Result<Roster, StorageError> {
    let mut roster = match rows.get(&Table::Node.row(ROSTER_ROW))? {
        Some(stored) => Roster::from_bytes(stored)
            .map_err(|error| StorageError::Corrupt(format!("the list of members: {error}")))?,
        None => Roster::new(expect),
    };
    roster.expect = expect;
    roster.admit(own).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    Ok(roster)
}

impl Node {
    /// Admits a node that was heard of. Returns its peer record if it is new.
    pub(crate) fn admit(&self, member: Member) -> Result<Option<Arc<Peer>>, NameTaken> {
        let _one_at_a_time = self.admitting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut roster = Roster::clone(&self.roster.load());
        if member.node == self.origin.node || !roster.admit(member.clone())? {
            return Ok(None);
        }
        tracing::info!(member = member.name, node = %member.node, "a node joined");
        let mut batch = Batch::default();
        batch.put(Table::Node.row(ROSTER_ROW), roster.to_bytes());
        if let Err(error) = self.record(batch, Waiter::Nobody) {
            tracing::warn!(%error, "the list of members was not stored; it is learned again after a restart");
        }
        self.roster.store(Arc::new(roster));
        let peer = self.add_peer(member);
        self.reroute();
        Ok(Some(peer))
    }

    /// Makes the records of the peers that the stored roster names.
    pub(crate) fn restore_peers(&self) -> Vec<Arc<Peer>> {
        let members = self.roster().members().to_vec();
        let others = members.into_iter().filter(|member| member.node != self.origin.node);
        let peers = others.map(|member| self.add_peer(member)).collect();
        self.reroute();
        if self.layout().is_some() {
            self.readiness.set(part::LAYOUT, Ok(()));
        }
        peers
    }

    fn add_peer(&self, member: Member) -> Arc<Peer> {
        let peer = Arc::new(Peer::new(member));
        let mut peers = Vec::clone(&self.peers.load());
        peers.push(Arc::clone(&peer));
        peers.sort_by(|a, b| a.name.cmp(&b.name));
        self.peers.store(Arc::new(peers));
        peer
    }
}
