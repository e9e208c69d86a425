//! Answering peers: every frame of a connection in one call, deltas staged together, questions answered from durable
//! state.

use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use settle_core::clock::Clock;
use settle_core::codec::Encode;
use settle_core::dot::NodeId;
use settle_core::key::{Key, PartitionId};
use settle_core::partition::{Collected, Compared, Delta, Have, LogAnswer, PageLimits, Partition, Repair};
use settle_core::roster::{Member, NameTaken};
use settle_core::storage::StorageError;
use settle_service::calm::Calm;
use settle_service::shutdown::Shutdown;
use settle_wire::Limits;
use settle_wire::hello::{Hello, HelloError, Refusal, RefusalCode};
use settle_wire::message::{Answer, EchoReply, Question, Request};
use settle_wire::serve::{Batch, Replies, Served, Service, serve};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::clock;
use crate::node::Node;
use crate::node::commit::Waiter;
use crate::watched::{joined, watched};

/// How large the pages of exchanges are.
pub(crate) const PAGE: PageLimits = PageLimits { records: 512, bytes: 256 << 10 };

/// Connections served at once; a cluster needs one per peer.
const CONNECTIONS_MAX: usize = 1_024;

/// The pause after a failed accept: it is the lack of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What peers may ask of a node.
pub(crate) struct PeerService(pub(crate) Arc<Node>);

impl Service for PeerService {
    fn frame(&self, peer: &Hello, batch: Batch, replies: &Arc<Replies>) {
        if !self.0.is_newest(peer.origin) {
            // The next connection's handshake tells it why.
            tracing::warn!(
                peer = peer.name,
                "a newer process of this peer was met; closing the older one's connection"
            );
            replies.close();
            return;
        }
        let mut sequence = batch.deltas_before;
        for message in batch.messages {
            match message {
                Request::Delta { partition, delta } => {
                    sequence += 1;
                    if let Err(reason) = self.delta(partition, &delta, sequence, replies) {
                        // Later acknowledgements would cover this delta; the next connection begins anew, and the
                        // exchange brings what was not taken.
                        tracing::warn!(peer = peer.name, reason, "delta not taken; closing the connection");
                        replies.close();
                        return;
                    }
                }
                Request::Ask { id, question } => self.ask(peer.origin.node, id, question, replies),
            }
        }
    }
}

impl PeerService {
    fn delta(
        &self,
        partition: PartitionId,
        delta: &Delta,
        sequence: u64,
        replies: &Arc<Replies>,
    ) -> Result<(), String> {
        let node = &self.0;
        self.check_key(partition, &delta.key)?;
        let applied = node
            .change(
                partition,
                |partition, transaction| partition.apply(transaction, delta),
                |_| Waiter::Peer(Arc::clone(replies), sequence),
            )
            .map_err(|error| error.to_string())?;
        node.observe(applied.stamp_max);
        node.metrics.traffic.taken_in(delta.key.bucket(), applied.fresh, applied.concurrent);
        Ok(())
    }

    fn ask(&self, asker: NodeId, id: u64, question: Question, replies: &Arc<Replies>) {
        let answer = match question {
            Question::Compare { partition, key, have } => {
                self.compare(partition, &key, &have).map(Answer::Compared)
            }
            Question::Collect { partition, key, known } => {
                self.collect(partition, &key, &known).map(Answer::Collected)
            }
            Question::Repair { partition, repair } => match self.repair(id, partition, &repair, replies) {
                Ok(()) => return,
                Err(reason) => Ok(Answer::Failed(reason)),
            },
            Question::Echo { since } => Ok(Answer::Echo(self.echo(asker, since))),
            Question::Layout => Ok(Answer::Layout(self.0.layout().map(|state| Box::new(state.told())))),
            question @ (Question::Prepare(_) | Question::Accept(_)) => {
                self.vote(id, question, replies);
                return;
            }
            page @ (Question::PullLog { .. } | Question::PullFull { .. }) => {
                // Pages read many rows: not on the connection's task, which deltas wait for.
                let node = Arc::clone(&self.0);
                let replies = Arc::clone(replies);
                let readiness = node.readiness.clone();
                let page = spawn_blocking(move || replies.answer(id, &or_failed(serve_page(&node, page))));
                tokio::spawn(watched("pages", readiness, async move {
                    joined(page).await;
                }));
                return;
            }
        };
        replies.answer(id, &or_failed(answer));
    }

    /// Votes on the next layout; that is answered when it is durable.
    fn vote(&self, id: u64, question: Question, replies: &Arc<Replies>) {
        let (node, replies) = (Arc::clone(&self.0), Arc::clone(replies));
        let readiness = node.readiness.clone();
        let voting = async move {
            let answer = match node.vote(&question).await {
                Ok(Some(vote)) => Answer::Vote(Box::new(vote)),
                Ok(None) => Answer::Failed("this node does not know its cluster's layout yet".to_owned()),
                Err(error) => Answer::Failed(error.to_string()),
            };
            replies.answer(id, &answer);
        };
        tokio::spawn(watched("votes", readiness, voting));
    }

    fn collect(&self, id: PartitionId, key: &Key, known: &Clock) -> Result<Collected, StorageError> {
        self.check_key(id, key).map_err(StorageError::Io)?;
        let partition = held(&self.0, id)?;
        partition.collect(&*self.0.engine, key, known)
    }

    fn compare(&self, id: PartitionId, key: &Key, have: &Have) -> Result<Compared, StorageError> {
        self.check_key(id, key).map_err(StorageError::Io)?;
        let partition = held(&self.0, id)?;
        partition.compare(&*self.0.engine, key, have)
    }

    /// Stages a repair; it is answered when it is durable.
    fn repair(
        &self,
        id: u64,
        partition: PartitionId,
        repair: &Repair,
        replies: &Arc<Replies>,
    ) -> Result<(), String> {
        self.check_key(partition, &repair.key)?;
        let repaired = self.0.repair_here(partition, repair, |changed| Waiter::Repair {
            replies: Arc::clone(replies),
            id,
            changed,
        });
        repaired.map_err(|error| error.to_string())
    }

    /// Refuses a key that does not belong to the partition. Whether this node holds the partition is not asked: others may
    /// know already that it does.
    fn check_key(&self, id: PartitionId, key: &Key) -> Result<(), String> {
        let belongs = key.partition(self.0.partition_count()) == id;
        if belongs { Ok(()) } else { Err(format!("the key does not belong to partition {}", id.0)) }
    }

    /// The durable clocks of the partitions shared with `asker` that changed after tick `since`. The tick is read first:
    /// what changes meanwhile is told now or next time.
    fn echo(&self, asker: NodeId, since: u64) -> EchoReply {
        let node = &self.0;
        let tick = node.tick();
        let routes = node.routes();
        let mut changed = Vec::new();
        for id in node.partition_ids().filter(|id| routes.of(*id).is_shared_with(asker)) {
            let Some(partition) = node.partition(id).filter(|partition| !partition.is_dropping()) else {
                continue;
            };
            if since == 0 || partition.changed_at() > since {
                changed.push((id, partition.echo()));
            }
        }
        EchoReply { origin: node.origin, tick, standing: routes.standing, wall_ms: clock::wall_ms(), changed }
    }
}

fn serve_page(node: &Node, question: Question) -> Result<Answer, StorageError> {
    let partition = |id| held(node, id);
    match question {
        Question::PullLog { partition: id, clock } => {
            let answer = partition(id)?.serve_log(&*node.engine, &clock, PAGE)?;
            if let LogAnswer::Page(page) = &answer {
                node.metrics.exchange.moved(page.to_bytes().len(), clock.to_bytes().len());
                node.metrics.exchange.sent(page.entries.len());
                node.metrics.hints_replayed.inc_by(page.records.len() as u64);
            }
            Ok(Answer::Log(answer))
        }
        Question::PullFull { partition: id, request } => {
            let page = partition(id)?.serve_full(&*node.engine, &request, PAGE)?;
            node.metrics.exchange.moved(page.to_bytes().len(), request.to_bytes().len());
            node.metrics.exchange.sent(page.part.entries().len());
            Ok(Answer::Full(page))
        }
        Question::Compare { .. }
        | Question::Repair { .. }
        | Question::Collect { .. }
        | Question::Layout
        | Question::Prepare(_)
        | Question::Accept(_)
        | Question::Echo { .. } => Err(StorageError::Io("not a question for a page".to_owned())),
    }
}

/// A partition, locked, unless it has left this node.
fn held(node: &Node, id: PartitionId) -> Result<MutexGuard<'_, Partition>, StorageError> {
    let partition = node.partition(id).filter(|partition| !partition.is_dropping());
    partition.ok_or_else(|| StorageError::Io(format!("partition {} does not exist here", id.0)))
}

fn or_failed(answer: Result<Answer, StorageError>) -> Answer {
    answer.unwrap_or_else(|error| Answer::Failed(error.to_string()))
}

/// Accepts peers until the shutdown.
pub(crate) async fn accept(node: Arc<Node>, listener: TcpListener, hello: Arc<Hello>, shutdown: Shutdown) {
    let service = Arc::new(PeerService(Arc::clone(&node)));
    let calm = Arc::new(Calm::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, remote)) if connections.len() < CONNECTIONS_MAX => {
                let (node, hello, service) = (Arc::clone(&node), Arc::clone(&hello), Arc::clone(&service));
                let (readiness, calm) = (node.readiness.clone(), Arc::clone(&calm));
                let serving = async move {
                    let check = |theirs: &Hello| check(&node, theirs);
                    let served = serve(stream, remote, &hello, check, &service, Limits::default()).await;
                    if let Served::NotGreeted(error) = served {
                        refused(&error, remote, &calm);
                    }
                };
                connections.spawn(watched("peers", readiness, serving));
            }
            Ok((_, remote)) => tracing::warn!(%remote, "too many peer connections; refused"),
            Err(error) => {
                tracing::warn!(%error, "a peer connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

/// Logs why a connection was refused. Whoever was refused tries again every second, so that once in a while is enough.
fn refused(error: &HelloError, remote: SocketAddr, calm: &Calm) {
    let reason = match error {
        // The other side of this connection says so.
        HelloError::ByThisSide(Refusal { code: RefusalCode::Itself, .. }) => return,
        HelloError::ByThisSide(refusal) if refusal.code != RefusalCode::Malformed => refusal.text.as_str(),
        // Of these, the text holds numbers that strangers choose.
        HelloError::ByThisSide(_) | HelloError::Malformed(_) => "malformed",
        HelloError::Frame(_) => "frame",
        HelloError::ByPeer(_) => "by the peer",
        HelloError::Closed | HelloError::Socket(_) => "closed",
        HelloError::TooLong(_) => "too long",
        HelloError::Timeout(_) => "timeout",
    };
    if let Some(left_out) = calm.says(&format!("{} {reason}", remote.ip())) {
        tracing::warn!(%remote, %error, left_out, "refused a connection");
    }
}

/// Whether a node may send its deltas here.
fn check(node: &Node, theirs: &Hello) -> Result<(), Refusal> {
    let refuse = |code, text| Err(Refusal { code, text });
    if theirs.origin == node.origin {
        let text = format!("node {} reached itself, where it looked for another one", theirs.name);
        return refuse(RefusalCode::Itself, text);
    }
    if theirs.origin.node == node.origin.node {
        let text = format!(
            "node {} connects under the identity of this very node ({}): a copy of one data directory runs twice; \
             stop one and give it an empty node.data_dir",
            theirs.name, node.origin.node
        );
        return refuse(RefusalCode::Identity, text);
    }
    if let Some(known) = node.roster().by_name(&theirs.name).filter(|known| known.node != theirs.origin.node)
    {
        let joining = Member { node: theirs.origin.node, name: theirs.name.clone() };
        let taken = NameTaken { joining: joining.node, name: joining.name, known: known.node };
        return refuse(RefusalCode::Name, taken.to_string());
    }
    let Some(peer) = node.peer(theirs.origin.node) else { return Ok(()) };
    match peer.met(theirs.origin.epoch) {
        Ok(()) => Ok(()),
        Err(newest) => {
            let text = format!(
                "node {} speaks from epoch {:x}, but {:x} was met already: a newer process runs on its data directory",
                theirs.name, theirs.origin.epoch.0, newest.0
            );
            refuse(RefusalCode::Identity, text)
        }
    }
}

#[cfg(test)]
mod tests;
