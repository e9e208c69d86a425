//! Asking as many peers as a level needs, the nearest first, and others when those are slow.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_wire::message::{Answer, Question};
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::peer::Peer;

use super::Node;

/// Not enough replicas answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    /// Known before anything was done.
    #[error("{needed} replicas are needed and {alive} are alive")]
    TooFew {
        /// How many the level needs.
        needed: usize,
        /// How many are alive, this node included.
        alive: usize,
    },
    /// This node has not met the cluster yet: what it took in might never reach anybody.
    #[error("only {known} of {expect} expected nodes were ever met (cluster.expect, cluster.seeds)")]
    Alone {
        /// How many are known, this one included.
        known: usize,
        /// How many are expected at birth.
        expect: usize,
    },
    /// The deadline passed, or peers failed.
    #[error("{answered} of {needed} replicas answered in time")]
    Late {
        /// How many answered, this node included.
        answered: usize,
        /// How many the level needs.
        needed: usize,
    },
}

impl Node {
    /// Fails fast when this node never met its cluster, or fewer than `needed` replicas, itself included, are alive.
    pub(super) fn require_alive(&self, id: PartitionId, needed: usize) -> Result<(), Unavailable> {
        let layout = self.layout();
        if !layout.is_complete() {
            return Err(Unavailable::Alone { known: layout.members().len(), expect: layout.expect });
        }
        if needed <= 1 {
            return Ok(());
        }
        let now = clock::now();
        let silence = self.silence_max();
        let alive = 1 + self.partners(id).iter().filter(|peer| peer.is_up(now, silence)).count();
        if alive < needed { Err(Unavailable::TooFew { needed, alive }) } else { Ok(()) }
    }
}

/// The peers that were asked and not heard from, and when each of them is late.
type Overdue = Vec<(NodeId, Instant)>;

/// Asks peers until `needed` replicas, this node included, have answered. When one takes longer than it mostly does, the
/// next one is asked as well, and in the place of one that fails.
pub(super) async fn gather(
    node: &Node,
    id: PartitionId,
    needed: usize,
    deadline: Instant,
    question: &Question,
) -> Result<Vec<(Arc<Peer>, Answer)>, Unavailable> {
    let wanted = needed.saturating_sub(1);
    let mut waiting = node.nearest(id).into_iter();
    let mut asked = FuturesUnordered::new();
    let mut overdue = Overdue::new();
    let mut answers = Vec::with_capacity(wanted);
    let mut more = wanted;
    while answers.len() < wanted {
        for peer in waiting.by_ref().take(std::mem::take(&mut more)) {
            overdue.push((peer.node, Instant::now() + peer.latency.slow_after()));
            asked.push(ask(peer, question, deadline));
        }
        // With nobody left to ask there is nothing to do before the deadline.
        let hedges = overdue.iter().map(|(_, late)| *late).filter(|_| waiting.len() > 0);
        match timeout_at(hedges.min().unwrap_or(deadline).min(deadline), asked.next()).await {
            Ok(Some((peer, answer))) => {
                overdue.retain(|(asked, _)| *asked != peer.node);
                match answer {
                    Some(answer) => answers.push((peer, answer)),
                    None => more = 1,
                }
            }
            Err(_) if Instant::now() < deadline => more = hedge(&mut overdue),
            Ok(None) | Err(_) => return Err(Unavailable::Late { answered: 1 + answers.len(), needed }),
        }
    }
    Ok(answers)
}

/// How many peers are late by now; each is late once.
fn hedge(overdue: &mut Overdue) -> usize {
    let (before, now) = (overdue.len(), Instant::now());
    overdue.retain(|(_, late)| *late > now);
    before - overdue.len()
}

/// The answer of a peer, which takes note of how long it took; `None` if it has none.
pub(super) async fn ask(
    peer: Arc<Peer>,
    question: &Question,
    deadline: Instant,
) -> (Arc<Peer>, Option<Answer>) {
    let waiting = Waiting { peer, asked: Instant::now(), answered: false };
    let answer = answer(&waiting.peer, question, deadline).await;
    (waiting.ended(answer.is_some()), answer)
}

/// The answer of a peer; `None` if it has none.
pub(super) async fn answer(peer: &Peer, question: &Question, deadline: Instant) -> Option<Answer> {
    let link = peer.link()?;
    match link.request(question, deadline.saturating_duration_since(Instant::now())).await {
        Ok(answer) => Some(answer),
        Err(error) => {
            tracing::debug!(peer = peer.name, %error, "peer did not answer");
            None
        }
    }
}

/// A question to a peer on its way; tells how long the peer took, also when nobody waits for it any more.
struct Waiting {
    peer: Arc<Peer>,
    asked: Instant,
    answered: bool,
}

impl Waiting {
    fn ended(mut self, answered: bool) -> Arc<Peer> {
        self.answered = answered;
        Arc::clone(&self.peer)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let took = self.asked.elapsed();
        if self.answered { self.peer.latency.answered(took) } else { self.peer.latency.given_up(took) }
    }
}
