//! Verification: whether replicas that believe they are equal are, and what is done if they are not.
//!
//! Every partition is compared with each of its other replicas once in `anti_entropy.merkle_interval`, and once soon after
//! each start, for that is when a disk shows what it has lost. Mostly it is one question and one answer. A difference that
//! clocks do not explain is an alarm: it is logged as an error and counted, and what either replica still has is written
//! anew. Whoever finds it does that; but all except the first replica that is up wait a moment and look again, so that two
//! do not do the same.

use std::sync::Arc;
use std::time::Duration;

use settle_core::codec::Encode;
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::partition::{
    Contradiction, Delta, FullPage, FullRequest, Incomparable, Partition, Repair, Verdict, Verification,
};
use settle_service::shutdown::Shutdown;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock;
use crate::node::commit::Waiter;
use crate::node::{ChangeError, Node};
use crate::peer::Peer;
use crate::peer::listen::PAGE;
use crate::watched::joined;

use super::anti_entropy::{ExchangeError, ask_full, full};

/// How long what is on its way is waited for.
const LATER: Duration = Duration::from_secs(1);
/// How long another replica gets to settle what this one found too.
const DEFER: Duration = Duration::from_secs(2);
/// Writes that the other side may lack while replicas are compared: so many are looked at one by one.
const PENDING_MAX: u64 = 1_024;
/// How often it is looked whether something is still missing, before the next partition's turn comes.
const CATCH_UP_MAX: u32 = 30;
/// Comparisons of one verification; busy replicas that cannot be compared now are compared the next time.
const ATTEMPTS_MAX: u32 = 8;
/// Comparisons that wait for the clocks to be the same.
const PATIENT_ATTEMPTS: u32 = 2;
/// The pause between two partitions in the first round after the start.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What one comparison came to.
enum Compared {
    /// No difference but for writes on their way; whether the peer has explicit contexts that its clock does not cover.
    Equal {
        explicit: bool,
    },
    /// The clocks differ; what explicit contexts of the peer tell.
    Behind(Vec<Repair>),
    Contradicted(Vec<Contradiction>),
    /// Nothing can be said yet.
    NotYet,
}

/// Verifies the partitions shared with `peer` until the shutdown.
pub(crate) async fn run(node: Arc<Node>, peer: Arc<Peer>, shutdown: Shutdown) {
    tokio::select! {
        () = shutdown.wait() => {}
        () = rounds(&node, &peer) => {}
    }
}

async fn rounds(node: &Arc<Node>, peer: &Peer) {
    let mut pause_max = FIRST_PAUSE;
    loop {
        let has = |id: &PartitionId| partners(node, *id).iter().any(|partner| partner.node == peer.node);
        let shared: Vec<PartitionId> = node.partition_ids().filter(has).collect();
        let ready = is_up(node, peer) && shared.iter().all(|id| is_built(node, *id));
        if shared.is_empty() || !ready {
            sleep(LATER).await;
            continue;
        }
        let count = u32::try_from(shared.len()).unwrap_or(u32::MAX);
        for id in shared {
            let interval = node.config.load().live.merkle_interval;
            sleep((interval / count).min(pause_max)).await;
            if is_up(node, peer) && caught_up(node, peer, id).await {
                // Why not is logged and counted.
                drop(verified(node, peer, id).await);
            }
        }
        pause_max = Duration::MAX;
    }
}

/// Waits until neither side is known to lack much that the other has; says whether that was so soon enough.
pub(super) async fn caught_up(node: &Node, peer: &Peer, id: PartitionId) -> bool {
    for _ in 0..CATCH_UP_MAX {
        if node.partition(id).is_some_and(|partition| is_level(&partition, peer.node)) {
            return true;
        }
        sleep(LATER).await;
    }
    false
}

fn is_level(partition: &Partition, peer: NodeId) -> bool {
    let own = !partition.lacks_from(peer) && !partition.is_pulling();
    own && partition.hints(peer).pending <= PENDING_MAX && partition.diverged().all(|node| node != peer)
}

/// Sends a write to every replica that is connected; the log keeps it for the others.
fn send(node: &Node, id: PartitionId, delta: &Delta) {
    let encoded = delta.to_bytes();
    for link in partners(node, id).iter().filter_map(|peer| peer.link()) {
        if link.send_delta(id, &encoded, None).is_err() {
            node.metrics.deltas_dropped.inc();
        }
    }
}

/// The other replicas that hold a partition, and hold all of it.
pub(super) fn partners(node: &Node, id: PartitionId) -> Vec<Arc<Peer>> {
    let routes = node.routes();
    let route = routes.of(id);
    let whole = route.partners.iter().filter(|partner| route.coordinates && partner.coordinates);
    whole.map(|partner| Arc::clone(&partner.peer)).collect()
}

pub(super) fn is_up(node: &Node, peer: &Peer) -> bool {
    peer.is_up(clock::now(), node.silence_max())
}

fn is_built(node: &Node, id: PartitionId) -> bool {
    node.partition(id).is_some_and(|partition| partition.tree().is_some())
}

/// Verifies one partition with one peer, and counts what came of it. Says how many keys were settled, or why nobody
/// knows.
pub(super) async fn verified(node: &Arc<Node>, peer: &Peer, id: PartitionId) -> Result<u64, String> {
    match verify(node, peer, id).await {
        Ok(Some(keys)) => {
            node.metrics.merkle.compared(keys);
            Ok(keys)
        }
        Ok(None) => {
            tracing::debug!(peer = peer.name, partition = id.0, "too busy to be compared");
            Err(format!("partition {} was too busy to be compared with {}", id.0, peer.name))
        }
        Err(error) => {
            tracing::debug!(peer = peer.name, partition = id.0, %error, "not compared");
            node.metrics.merkle.failed();
            Err(format!("partition {} was not compared with {}: {error}", id.0, peer.name))
        }
    }
}

/// Compares until both agree. Returns how many keys were settled here; `None` if it could not be decided in time.
async fn verify(node: &Arc<Node>, peer: &Peer, id: PartitionId) -> Result<Option<u64>, ExchangeError> {
    let mut settled = 0;
    let (mut insist, mut may_settle) = (false, is_first(node, id));
    for attempt in 0..ATTEMPTS_MAX {
        match compare(node, peer, id, insist).await? {
            Compared::Equal { explicit } => {
                if explicit {
                    full(node, peer, id).await?;
                }
                return Ok(Some(settled));
            }
            Compared::Behind(repairs) => {
                for repair in &repairs {
                    node.repair_here(id, repair, |_| Waiter::Nobody)?;
                }
                // Anti-entropy fetches what is missing. Under load clocks are never the same: then key by key.
                sleep(LATER).await;
                insist = attempt >= PATIENT_ATTEMPTS;
            }
            Compared::Contradicted(_) if !may_settle => {
                may_settle = true;
                sleep(DEFER).await;
            }
            Compared::Contradicted(found) => settled += settle(node, peer, id, &found).await?,
            Compared::NotYet => sleep(LATER).await,
        }
    }
    Ok(None)
}

/// Whether no other replica that is up has a smaller identity.
fn is_first(node: &Node, id: PartitionId) -> bool {
    !partners(node, id).iter().any(|peer| peer.node < node.origin.node && is_up(node, peer))
}

/// One walk through both hash trees, down to what differs.
async fn compare(
    node: &Arc<Node>,
    peer: &Peer,
    id: PartitionId,
    insist: bool,
) -> Result<Compared, ExchangeError> {
    let begun = node.partition(id).and_then(|mut partition| Verification::begin(&mut partition, insist));
    let Some((mut verification, mut request)) = begun else { return Ok(Compared::NotYet) };
    loop {
        let page = ask_full(node, peer, id, request).await?;
        let (taken, verdict) = take(Arc::clone(node), id, verification, page).await?;
        verification = taken;
        request = match verdict {
            Verdict::Ask(next) => next,
            Verdict::AskLater(next) => later(next).await,
            Verdict::Equal => return Ok(Compared::Equal { explicit: verification.met_explicit() }),
            Verdict::Behind => return Ok(Compared::Behind(verification.contexts().collect())),
            Verdict::Contradicted(found) => return Ok(Compared::Contradicted(found)),
            Verdict::Incomparable(Incomparable::Unbuilt) | Verdict::Void => return Ok(Compared::NotYet),
            Verdict::Incomparable(reason) => return Err(ExchangeError::Incomparable(reason)),
        };
    }
}

async fn later(request: FullRequest) -> FullRequest {
    sleep(LATER).await;
    request
}

/// Takes an answer; it may read as many rows as a page has.
async fn take(
    node: Arc<Node>,
    id: PartitionId,
    mut verification: Verification,
    page: FullPage,
) -> Result<(Verification, Verdict), ChangeError> {
    let taking = spawn_blocking(move || {
        let Some(mut partition) = node.partition(id) else { return Ok((verification, Verdict::Void)) };
        let verdict = verification.take(&mut partition, &*node.engine, &page, PAGE)?;
        drop(partition);
        Ok((verification, verdict))
    });
    joined(taking).await.unwrap_or(Err(ChangeError::Closing))
}

/// Writes anew what the two replicas contradict each other about. Returns of how many keys.
async fn settle(
    node: &Node,
    peer: &Peer,
    id: PartitionId,
    found: &[Contradiction],
) -> Result<u64, ChangeError> {
    let mut keys = 0;
    for contradiction in found {
        let (done, durable) = oneshot::channel();
        let written = node.change(
            id,
            |partition, transaction| partition.settle(transaction, contradiction),
            |written| if written.is_empty() { Waiter::Nobody } else { Waiter::Task(done) },
        )?;
        if written.is_empty() {
            continue;
        }
        for written in &written {
            send(node, id, &written.delta);
            node.metrics.traffic.taken_in(contradiction.key.bucket(), 1, written.concurrent);
        }
        durable.await.map_err(|_| ChangeError::Closing)?;
        node.metrics.merkle.keys_repaired(1);
        keys += 1;
    }
    if keys > 0 {
        tracing::error!(
            peer = peer.name,
            partition = id.0,
            keys,
            "replicas that had seen the same held different data; what either still had was written anew"
        );
    }
    Ok(keys)
}
