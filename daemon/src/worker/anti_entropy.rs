//! Closing gaps: asking a peer for what this node's clocks lack.
//!
//! Handoff and anti-entropy are one mechanism. The echo tells what each peer has. When the first echo of a connection
//! shows a gap, the peer is asked at once: what its log holds for this node are the hints, and they flow at the pace
//! at which this node takes them. Every `anti_entropy.interval`, gaps that deltas on their way should have closed by
//! now are asked for too. Partitions without a gap cost nothing.

use std::sync::Arc;
use std::time::Duration;

use settle_core::codec::Encode;
use settle_core::key::PartitionId;
use settle_core::partition::{
    Applied, FullPage, FullRequest, Incomparable, LogAnswer, LogPage, Partition, Progress, Transaction,
    entries_bytes,
};
use settle_service::shutdown::Shutdown;
use settle_wire::message::{Answer, Question};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock;
use crate::metrics::RoundResult;
use crate::node::commit::Waiter;
use crate::node::{ChangeError, Node};
use crate::peer::Peer;
use crate::peer::listen::PAGE;
use crate::watched::joined;

/// How long a page is waited for.
const PAGE_ANSWER: Duration = Duration::from_secs(10);

/// Why an exchange ended early. The next round goes on where it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("not connected")]
    NotConnected,
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("the peer cannot answer: {0}")]
    Failed(String),
    #[error("the peer restarted")]
    Restarted,
    #[error(transparent)]
    Incomparable(#[from] Incomparable),
}

impl ExchangeError {
    /// Whether other partitions would fare no better. A row that cannot be read, on either side, must not keep them from
    /// being exchanged, in this round and all that follow.
    const fn ends_the_round(&self) -> bool {
        match self {
            Self::NotConnected | Self::NoAnswer(_) => true,
            Self::Change(error) => !matches!(error, ChangeError::Storage(_)),
            Self::Failed(_) | Self::Restarted | Self::Incomparable(_) => false,
        }
    }
}

/// Exchanges with `peer` until the shutdown.
pub(crate) async fn run(node: Arc<Node>, peer: Arc<Peer>, shutdown: Shutdown) {
    loop {
        let interval = node.config.load().live.anti_entropy_interval;
        let at_once = tokio::select! {
            () = shutdown.wait() => return,
            () = peer.behind.notified() => true,
            () = sleep(interval) => false,
        };
        // A gap that is younger than the interval is most likely a delta on its way.
        let grace = if at_once { Duration::ZERO } else { interval / 2 };
        tokio::select! {
            () = shutdown.wait() => return,
            () = round(&node, &peer, grace) => {}
        }
    }
}

async fn round(node: &Arc<Node>, peer: &Peer, grace: Duration) {
    let mut result = RoundResult::Equal;
    for id in node.partition_ids().filter(|id| is_fetched(node, *id, peer)) {
        let before = clock::earlier(clock::now(), grace);
        let behind = node.partition(id).is_some_and(|partition| partition.behind(peer.node, before));
        if !behind {
            continue;
        }
        result = RoundResult::Exchanged;
        if let Err(error) = exchange(node, peer, id).await {
            tracing::warn!(peer = peer.name, partition = id.0, %error, "exchange ended early; it goes on in the next round");
            result = RoundResult::Error;
            if error.ends_the_round() {
                break;
            }
        }
    }
    node.metrics.exchange.round(result);
}

/// Whether this node fetches from `peer` what it lacks of a partition: not when it is about to drop it.
fn is_fetched(node: &Node, id: PartitionId, peer: &Peer) -> bool {
    let routes = node.routes();
    let route = routes.of(id);
    route.is_shared_with(peer.node) && !route.sets.is_empty()
}

/// Fetches everything that `peer` has in one partition and this node lacks.
pub(super) async fn exchange(node: &Arc<Node>, peer: &Peer, id: PartitionId) -> Result<(), ExchangeError> {
    while is_fetched(node, id, peer) {
        let Some(clock) = node.partition(id).map(|partition| partition.durable().clone()) else {
            return Ok(());
        };
        let asked = clock.to_bytes().len();
        let Answer::Log(answer) = ask(node, peer, Question::PullLog { partition: id, clock }).await? else {
            return Err(unexpected());
        };
        let LogAnswer::Page(page) = answer else {
            tracing::info!(
                peer = peer.name,
                partition = id.0,
                "the peer's log is pruned; comparing the whole partition"
            );
            return full(node, peer, id).await;
        };
        node.metrics.exchange.moved(asked, page.to_bytes().len());
        let more = page.more;
        take_log(node, id, &page).await?;
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

async fn take_log(node: &Node, id: PartitionId, page: &LogPage) -> Result<(), ChangeError> {
    let (done, durable) = oneshot::channel();
    let applied = node.change(
        id,
        |partition, transaction| partition.take_log(transaction, page),
        |_| Waiter::Task(done),
    )?;
    let rate = node.config.load().live.hints.bytes_per_second;
    node.pace.fetched(page.entries.len(), entries_bytes(&page.entries), rate);
    node.metrics.exchange.received(page.entries.len());
    count(node, &applied);
    // The next page is asked for with the durable clock.
    durable.await.map_err(|_| ChangeError::Closing)
}

/// A full exchange.
pub(super) async fn full(node: &Arc<Node>, peer: &Peer, id: PartitionId) -> Result<(), ExchangeError> {
    let Some(_filling) = node.begin_full(id) else { return Ok(()) };
    let opening = Arc::clone(node);
    let opened = spawn_blocking(move || {
        opening.partition(id).map(|mut partition| partition.open_full(&*opening.engine, PAGE))
    });
    let Some(Some(opened)) = joined(opened).await else { return Ok(()) };
    let mut request = opened.map_err(ChangeError::from)?;
    while is_fetched(node, id, peer) {
        let page = ask_full(node, peer, id, request).await?;
        match take_full(node, id, page).await? {
            Progress::Next(next) => request = next,
            Progress::Done => return Ok(()),
            Progress::Aborted | Progress::Stray => return Err(ExchangeError::Restarted),
        }
    }
    Ok(())
}

/// Asks a step of a full exchange, or of a verification.
pub(super) async fn ask_full(
    node: &Node,
    peer: &Peer,
    id: PartitionId,
    request: FullRequest,
) -> Result<FullPage, ExchangeError> {
    let asked = request.to_bytes().len();
    let Answer::Full(page) = ask(node, peer, Question::PullFull { partition: id, request }).await? else {
        return Err(unexpected());
    };
    let entries = page.part.entries();
    node.pace.fetched(entries.len(), entries_bytes(entries), node.config.load().live.hints.bytes_per_second);
    node.metrics.exchange.moved(asked, page.to_bytes().len());
    node.metrics.exchange.received(entries.len());
    Ok(page)
}

/// Takes an answer; it may read as many rows as a page has.
async fn take_full(node: &Arc<Node>, id: PartitionId, page: FullPage) -> Result<Progress, ChangeError> {
    let (done, durable) = oneshot::channel();
    let taking = Arc::clone(node);
    let taken = spawn_blocking(move || {
        let take = |partition: &mut Partition, transaction: &mut Transaction<'_>| {
            let before = partition.ticket();
            let (applied, progress) = partition.take_full(transaction, &page, PAGE)?;
            Ok((partition.ticket() > before, applied, progress))
        };
        // A comparison alone changes nothing.
        let waiter = |staged: bool| if staged { Waiter::Task(done) } else { Waiter::Nobody };
        let (staged, applied, progress) = taking.change(id, take, |(staged, ..)| waiter(*staged))?;
        count(&taking, &applied);
        Ok((staged, progress))
    });
    let (staged, progress) = joined(taken).await.unwrap_or(Err(ChangeError::Closing))?;
    if staged {
        durable.await.map_err(|_| ChangeError::Closing)?;
    }
    Ok(progress)
}

async fn ask(node: &Node, peer: &Peer, question: Question) -> Result<Answer, ExchangeError> {
    node.pace.wait().await;
    let link = peer.link().ok_or(ExchangeError::NotConnected)?;
    match link.request(&question, PAGE_ANSWER).await {
        Ok(Answer::Failed(reason)) => Err(ExchangeError::Failed(reason)),
        Ok(answer) => Ok(answer),
        Err(error) => Err(ExchangeError::NoAnswer(error.to_string())),
    }
}

fn unexpected() -> ExchangeError {
    ExchangeError::NoAnswer("the peer answered another question".to_owned())
}

fn count(node: &Node, applied: &Applied) {
    node.observe(applied.stamp_max);
    for (key, fresh, concurrent) in &applied.of_keys {
        node.metrics.traffic.taken_in(key.bucket(), *fresh, *concurrent);
    }
}
