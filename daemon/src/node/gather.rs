//! Asking as many peers as a level needs, the nearest first, and others when those are slow.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::level::Level;
use settle_wire::message::{Answer, Question};
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::peer::Peer;

use super::{Node, part};

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
    /// This node does not know the cluster's layout yet: what it took in might never reach anybody.
    #[error("this node does not know its cluster's layout yet: {0}")]
    NotBorn(String),
    /// Another node was asked, or the layout has just changed.
    #[error("this node is no replica of the key")]
    NotReplica,
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
    /// Fails when this node is no replica of a partition, or does not know.
    pub(crate) fn require_own(&self, id: PartitionId) -> Result<(), Unavailable> {
        let routes = self.routes();
        match routes.of(id) {
            route if route.own => Ok(()),
            route if route.replicas > 0 => Err(Unavailable::NotReplica),
            _ => Err(self.not_born()),
        }
    }

    /// What this node waits for, as `/readyz` says it.
    pub(crate) fn not_born(&self) -> Unavailable {
        let reasons = self.readiness.reasons();
        let reason = reasons.into_iter().find(|(part, _)| part == part::LAYOUT).map(|(_, reason)| reason);
        Unavailable::NotBorn(reason.unwrap_or_else(|| "it has just been made".to_owned()))
    }

    /// How many replicas of a partition a level needs. Fails fast when this node does not know the layout, is no
    /// replica, or sees fewer alive.
    pub(super) fn require(&self, id: PartitionId, level: Level) -> Result<usize, Unavailable> {
        self.require_own(id)?;
        let routes = self.routes();
        let route = routes.of(id);
        let needed = level.needed(route.replicas);
        if needed <= 1 {
            return Ok(needed);
        }
        let (now, silence) = (clock::now(), self.silence_max());
        let alive = 1 + route.partners.iter().filter(|peer| peer.is_up(now, silence)).count();
        if alive < needed { Err(Unavailable::TooFew { needed, alive }) } else { Ok(needed) }
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
