//! The way of one write: collect what its level acknowledged before, stage it under a new dot, send it to every
//! replica at once, answer when enough hold it durably.

use std::sync::Arc;

use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::entry::Version;
use settle_core::hlc::Hlc;
use settle_core::key::Key;
use settle_core::level::Level;
use settle_core::partition::{Write, Written};
use settle_core::value::register::{Resolver, Value};
use settle_wire::message::{Answer, Question};
use tokio::time::{Instant, timeout_at};

use super::commit::Waiter;
use super::gather::{Unavailable, gather};
use super::quorum::{PeerAck, Quorum};
use super::{ChangeError, Node};

/// A client's write.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    /// The key.
    pub(crate) key: Key,
    /// The value, or `None` to delete.
    pub(crate) value: Option<Value>,
    /// The rule of the key's bucket.
    pub(crate) resolver: Resolver,
    /// How many replicas must hold it.
    pub(crate) level: Level,
    /// What the client has seen.
    pub(crate) context: ClientContext,
    /// When the answer is due.
    pub(crate) deadline: Instant,
}

/// Why a write was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// Nothing was written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Nothing was written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Nothing was written.
    #[error("the context is not one of this key: {0}")]
    Context(&'static str),
    /// The write is on its way and may take effect, also after a later delete.
    #[error("{acked} of {needed} replicas acknowledged in time; the write may still take effect")]
    Late {
        /// How many did.
        acked: usize,
        /// How many had to.
        needed: usize,
        /// Covers the write.
        context: ClientContext,
    },
}

impl Node {
    /// Writes, and returns a context that covers the write.
    pub(crate) async fn write(&self, request: WriteRequest) -> Result<ClientContext, WriteError> {
        let id = request.key.partition(self.partition_count());
        self.check_context(id, &request.context)?;
        let needed = request.level.needed(self.layout.load().replicas());
        self.require_alive(needed)?;
        self.observe(request.context.stamp);
        let mut context = request.context.clock.clone();
        if needed > 1 && request.resolver == Resolver::Lww {
            self.collect(&request, needed, &mut context).await?;
        }
        let quorum = Quorum::new(needed);
        let written = self.stage(request.key, request.value, request.resolver, context, &quorum)?;
        self.send(id, &written, &quorum);
        let clock: Clock = [written.dot].into_iter().collect();
        let stamp = written.delta.entry.stamp_max();
        let context = ClientContext { partition: Some(id), clock, stamp };
        match timeout_at(request.deadline, quorum.met()).await {
            Ok(()) => Ok(context),
            Err(_) => Err(WriteError::Late { acked: quorum.acked(), needed, context }),
        }
    }

    /// Refuses a context that was read under another key's partition, or that no read can have given out: it would
    /// let the write supersede what its client never saw.
    fn check_context(
        &self,
        id: settle_core::key::PartitionId,
        context: &ClientContext,
    ) -> Result<(), WriteError> {
        if context.clock.is_empty() {
            return Ok(());
        }
        if context.partition != Some(id) {
            return Err(WriteError::Context("it was read under a key of another partition"));
        }
        let minted = self.partition(id).map_or(0, |partition| partition.minted());
        if context.clock.greatest(self.origin) > minted {
            return Err(WriteError::Context("it names writes that this node never made"));
        }
        Ok(())
    }

    /// `lww` at more than one replica: what was acknowledged at this level is overwritten, whatever wall clocks say,
    /// so its dots and its highest stamp are needed first.
    async fn collect(
        &self,
        request: &WriteRequest,
        needed: usize,
        context: &mut Clock,
    ) -> Result<(), WriteError> {
        let id = request.key.partition(self.partition_count());
        let question = Question::Collect { partition: id, key: request.key.clone() };
        let mut stamp_max = Hlc::default();
        for answer in gather(self, needed, request.deadline, &question).await? {
            if let Answer::Collected { dots, stamp } = answer {
                context.join(&dots);
                stamp_max = stamp_max.max(stamp);
            }
        }
        self.observe(stamp_max);
        Ok(())
    }

    fn stage(
        &self,
        key: Key,
        value: Option<Value>,
        resolver: Resolver,
        context: Clock,
        quorum: &Arc<Quorum>,
    ) -> Result<Written, ChangeError> {
        let id = key.partition(self.partition_count());
        let payload = value.map(|value| value.to_payload());
        let written = self.change(
            id,
            |partition, transaction| {
                let version = payload.map(|payload| Version { stamp: self.stamp(), payload });
                let over_all_seen = resolver == Resolver::Lww;
                partition.write(transaction, Write { key, version, context, over_all_seen })
            },
            |_| Waiter::Write(Arc::clone(quorum)),
        )?;
        self.metrics.traffic.taken_in(written.delta.key.bucket(), 1, written.concurrent);
        Ok(written)
    }

    /// Sends a staged write to every peer that is connected; the log keeps it for the others.
    fn send(&self, id: settle_core::key::PartitionId, written: &Written, quorum: &Arc<Quorum>) {
        let encoded = written.delta.to_bytes();
        for peer in self.peers().iter() {
            if let Some(link) = peer.link() {
                let sent = link.send_delta(id, &encoded, Some(PeerAck(Arc::clone(quorum))));
                if sent.is_err() {
                    self.metrics.deltas_dropped.inc();
                }
            }
        }
    }
}
