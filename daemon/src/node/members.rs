//! Who belongs to the cluster: learned from gossip and handshakes, kept durably, never forgotten by itself.

use std::sync::{Arc, PoisonError};

use settle_core::codec::{Decode, Encode};
use settle_core::layout::{Layout, Member, NameTaken};
use settle_core::storage::{Batch, Rows, StorageError, Table};

use crate::peer::Peer;

use super::commit::Waiter;
use super::{Node, part};

/// The row of the stored layout.
const LAYOUT_ROW: &[u8] = b"layout";

/// The stored layout, or one with this node alone.
pub(crate) fn stored_layout(rows: &dyn Rows, expect: usize, own: Member) -> Result<Layout, StorageError> {
    let mut layout = match rows.get(&Table::Node.row(LAYOUT_ROW))? {
        Some(stored) => Layout::from_bytes(stored)
            .map_err(|error| StorageError::Corrupt(format!("the list of members: {error}")))?,
        None => Layout::new(expect),
    };
    layout.expect = expect;
    layout.admit(own).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    Ok(layout)
}

impl Node {
    /// Admits a node that was heard of. Returns its peer record if it is new.
    pub(crate) fn admit(&self, member: Member) -> Result<Option<Arc<Peer>>, NameTaken> {
        let _one_at_a_time = self.admitting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut layout = Layout::clone(&self.layout.load());
        if member.node == self.origin.node || !layout.admit(member.clone())? {
            return Ok(None);
        }
        tracing::info!(member = member.name, node = %member.node, "a node joined");
        let mut batch = Batch::default();
        batch.put(Table::Node.row(LAYOUT_ROW), layout.to_bytes());
        if let Err(error) = self.record(batch, Waiter::Nobody) {
            tracing::warn!(%error, "the list of members was not stored; it is learned again after a restart");
        }
        self.layout.store(Arc::new(layout));
        let peer = self.add_peer(member);
        self.update_readiness();
        Ok(Some(peer))
    }

    /// Makes the records of the peers that the stored layout names.
    pub(crate) fn restore_peers(&self) -> Vec<Arc<Peer>> {
        let members = self.layout().members().to_vec();
        let others = members.into_iter().filter(|member| member.node != self.origin.node);
        let peers = others.map(|member| self.add_peer(member)).collect();
        self.update_readiness();
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

    fn update_readiness(&self) {
        let layout = self.layout();
        let state = if layout.is_complete() {
            Ok(())
        } else {
            Err(format!(
                "{} of {} expected nodes are known (cluster.expect); start the others, or check cluster.seeds",
                layout.members().len(),
                layout.expect
            ))
        };
        self.readiness.set(part::LAYOUT, state);
    }
}
