//! The way of one write: collect what its level acknowledged before, stage it under a new dot, send it to every
//! replica at once, answer when enough hold it durably.

use std::sync::Arc;

use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::entry::Version;
use settle_core::hlc::Hlc;
use settle_core::key::{Key, KeyHash, PartitionId};
use settle_core::level::Level;
use settle_core::partition::{Collected, Write, Written};
use settle_core::value::register::{Resolver, Value};
use settle_wire::message::{Answer, Question};
use tokio::time::{Instant, timeout_at};

use super::commit::Waiter;
use super::gather::{Asking, Unavailable, gather};
use super::quorum::{PeerAck, Quorum};
use super::route::{Partner, Route, Routes};
use super::{ChangeError, Node};

/// The most bytes of versions that a write may leave under a key. An entry travels between nodes as a whole, in one
/// frame; this leaves room for what others write to it at the same time.
const ENTRY_BYTES_MAX: usize = 5 << 20;

/// How many writes of one partition a context may name that neither this node nor its peers have told of: those of the
/// last moments, at another node. More would let a forged context supersede writes to come.
const UNHEARD_MAX: u64 = 65_536;

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
    /// Where the replicas were when it began.
    pub(crate) routes: Arc<Routes>,
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
    /// Nothing was written.
    #[error(
        "the key holds {bytes} bytes of concurrent versions already; at most {} fit: read it, and write with the context \
         that the read returns",
        ENTRY_BYTES_MAX
    )]
    TooLarge {
        /// The size that it would have.
        bytes: usize,
    },
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
        let hash = request.key.hash();
        self.check_context(id, hash, &request.context)?;
        let routes = Arc::clone(&request.routes);
        let route = routes.of(id);
        let asking =
            Asking { routes: &routes, id, needed: route.needed(request.level), deadline: request.deadline };
        self.require_own(route)?;
        self.require(&asking)?;
        self.observe(request.context.stamp);
        let mut context = request.context.clock.clone();
        if request.resolver == Resolver::Lww && !route.is_alone(asking.needed) {
            self.collect(&request.key, &asking, &mut context).await?;
        }
        let quorum = Quorum::new(asking.needed, route.sets);
        let written = self.stage(request.key, request.value, request.resolver, context, &quorum)?;
        self.send(id, route, &written, &quorum);
        let clock: Clock = [written.dot].into_iter().collect();
        let stamp = written.delta.entry.stamp_max();
        let context = ClientContext { key: Some(hash), clock, stamp };
        match timeout_at(request.deadline, quorum.met()).await {
            Ok(()) => Ok(context),
            Err(_) => {
                let (acked, needed) = quorum.acked();
                Err(WriteError::Late { acked, needed, context })
            }
        }
    }

    /// Refuses a context that was read under another key, or that no read can have given out: it would let the write
    /// supersede what its client never saw.
    fn check_context(
        &self,
        id: PartitionId,
        key: KeyHash,
        context: &ClientContext,
    ) -> Result<(), WriteError> {
        if context.clock.is_empty() {
            return Ok(());
        }
        if context.key != Some(key) {
            return Err(WriteError::Context("it was read under another key"));
        }
        let roster = self.roster();
        for origin in context.clock.origins() {
            if roster.by_node(origin.node).is_none() {
                return Err(WriteError::Context("it names writes of a node that is no member"));
            }
            let heard_of = self.partition(id).map_or(0, |partition| partition.heard_of(origin));
            // Of its own writes a node knows all; others may have made a few since they were last heard of.
            let slack = if origin == self.origin { 0 } else { UNHEARD_MAX };
            if context.clock.greatest(origin) > heard_of + slack {
                return Err(WriteError::Context("it names writes that were never made"));
            }
        }
        Ok(())
    }

    /// `lww` at more than one replica: what was acknowledged at this level is overwritten, whatever wall clocks say,
    /// so what others have seen of the key and the highest stamp are needed first.
    async fn collect(&self, key: &Key, asking: &Asking<'_>, context: &mut Clock) -> Result<(), WriteError> {
        let Some(known) = self.partition(asking.id).map(|partition| partition.seen().clone()) else {
            return Ok(());
        };
        let question = Question::Collect { partition: asking.id, key: key.clone(), known };
        let mut stamp_max = Hlc::default();
        for (_, answer) in gather(self, asking, &question).await? {
            if let Answer::Collected(Collected { dots, stamp }) = answer {
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
    ) -> Result<Written, WriteError> {
        let id = key.partition(self.partition_count());
        let payload = value.map(|value| value.to_payload());
        let written = self.change(
            id,
            |partition, transaction| {
                if let (Resolver::Siblings, Some(payload)) = (resolver, &payload) {
                    let bytes = payload.len() + partition.bytes_beside(transaction.rows, &key, &context)?;
                    if bytes > ENTRY_BYTES_MAX {
                        return Ok(Err(WriteError::TooLarge { bytes }));
                    }
                }
                let version = payload.map(|payload| Version { stamp: self.stamp(), payload });
                let over_all_seen = resolver == Resolver::Lww;
                partition.write(transaction, Write { key, version, context, over_all_seen }).map(Ok)
            },
            |written| match written {
                Ok(_) => Waiter::Write(Arc::clone(quorum)),
                Err(_) => Waiter::Nobody,
            },
        )??;
        self.metrics.traffic.taken_in(written.delta.key.bucket(), 1, written.concurrent);
        Ok(written)
    }

    /// Sends a staged write to every peer that is connected; the log keeps it for the others.
    fn send(&self, id: PartitionId, route: &Route, written: &Written, quorum: &Arc<Quorum>) {
        let encoded = written.delta.to_bytes();
        for Partner { peer, sets, .. } in route.partners.iter().filter(|partner| !partner.sets.is_empty()) {
            if let Some(link) = peer.link() {
                let ack = PeerAck { quorum: Arc::clone(quorum), sets: *sets };
                let sent = link.send_delta(id, &encoded, Some(ack));
                if sent.is_err() {
                    self.metrics.deltas_dropped.inc();
                }
            }
        }
    }
}
