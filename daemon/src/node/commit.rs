//! What happens when a group of changes is durable.
//!
//! The committer's thread hands each group over as a whole, so a write costs no thread hand-off of its own; here the
//! partitions learn what is durable, clients are answered and peers get their acknowledgements.

use std::sync::Arc;

use settle_core::key::PartitionId;
use settle_core::partition::Ticket;
use settle_store::Committed;
use settle_wire::message::Answer;
use settle_wire::serve::Replies;
use tokio::sync::{mpsc, oneshot};

use super::Node;
use super::quorum::Quorum;

/// Who waits for a change to be durable.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A client's write coordinated here.
    Write(Arc<Quorum>),
    /// A peer that sent deltas on a connection, up to this sequence number.
    Peer(Arc<Replies>, u64),
    /// A peer that asked for a repair.
    Repair {
        /// The way to it.
        replies: Arc<Replies>,
        /// The question.
        id: u64,
        /// Whether anything was lacking.
        changed: bool,
    },
    /// A task of this node.
    Task(oneshot::Sender<()>),
    /// Nobody.
    Nobody,
}

/// A change on its way to disk.
#[derive(Debug)]
pub(crate) struct Staged {
    /// The partition with the ticket of the change; `None` for records of the node itself.
    pub(crate) partition: Option<(PartitionId, Ticket)>,
    /// Who waits for it.
    pub(crate) waiter: Waiter,
}

/// Takes groups until the committer is gone.
pub(crate) async fn drive(node: Arc<Node>, mut groups: mpsc::Receiver<Committed<Staged>>) {
    let mut newest = Newest::new(node.partitions.len());
    while let Some(group) = groups.recv().await {
        node.metrics.storage.committed(&group);
        newest.settle(&node, &group.tags);
        node.segments().reported(group.segment);
        for staged in group.tags {
            staged.waiter.answer();
        }
    }
}

/// The newest ticket of each partition in a group, so that each partition is locked once per group.
struct Newest {
    tickets: Vec<Ticket>,
    touched: Vec<PartitionId>,
}

impl Newest {
    fn new(partitions: usize) -> Self {
        Self { tickets: vec![Ticket::default(); partitions], touched: Vec::new() }
    }

    fn settle(&mut self, node: &Node, tags: &[Staged]) {
        for (id, ticket) in tags.iter().filter_map(|staged| staged.partition) {
            let Some(newest) = self.tickets.get_mut(usize::from(id.0)) else { continue };
            if *newest == Ticket::default() {
                self.touched.push(id);
            }
            *newest = ticket.max(*newest);
        }
        for id in self.touched.drain(..) {
            let Some(newest) = self.tickets.get_mut(usize::from(id.0)) else { continue };
            node.committed(id, std::mem::take(newest));
        }
    }
}

impl Waiter {
    fn answer(self) {
        match self {
            Self::Write(quorum) => quorum.own(),
            Self::Peer(replies, upto) => replies.ack(upto),
            Self::Repair { replies, id, changed } => replies.answer(id, &Answer::Repaired { changed }),
            Self::Task(done) => {
                // A task that no longer waits has lost nothing.
                let _ = done.send(());
            }
            Self::Nobody => {}
        }
    }
}
