//! Asking as many peers as a level needs, the nearest first, and others when those are slow.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use settle_core::key::PartitionId;
use settle_wire::message::{Answer, Question};
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::peer::Peer;

use super::Node;

/// How long the nearest peers get before the others are asked too.
const HEDGE: Duration = Duration::from_millis(50);

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
    /// The other replicas of a partition that answer at present, the nearest first.
    fn alive(&self, id: PartitionId) -> Vec<Arc<Peer>> {
        let now = clock::now();
        let silence = self.silence_max();
        let mut alive: Vec<_> =
            self.partners(id).iter().filter(|peer| peer.is_up(now, silence)).cloned().collect();
        alive.sort_by_key(|peer| peer.round_trip());
        alive
    }

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

/// Asks peers until `needed` replicas, this node included, have answered. An answer that reports a failure counts as
/// none, and another peer is asked in its place.
pub(super) async fn gather(
    node: &Node,
    id: PartitionId,
    needed: usize,
    deadline: Instant,
    question: &Question,
) -> Result<Vec<Answer>, Unavailable> {
    let wanted = needed.saturating_sub(1);
    let mut waiting = node.alive(id).into_iter();
    let mut asked = FuturesUnordered::new();
    asked.extend(waiting.by_ref().take(wanted).map(|peer| ask(peer, question, deadline)));
    let mut answers = Vec::with_capacity(wanted);
    let mut hedge = deadline.min(Instant::now() + HEDGE);
    while answers.len() < wanted {
        match timeout_at(hedge, asked.next()).await {
            Ok(Some(Some(answer))) => answers.push(answer),
            // A peer failed: the next one takes its place.
            Ok(Some(None)) => asked.extend(waiting.next().map(|peer| ask(peer, question, deadline))),
            Err(_) if hedge < deadline => {
                asked.extend(waiting.by_ref().map(|peer| ask(peer, question, deadline)));
                hedge = deadline;
            }
            Ok(None) | Err(_) => return Err(Unavailable::Late { answered: 1 + answers.len(), needed }),
        }
    }
    Ok(answers)
}

async fn ask(peer: Arc<Peer>, question: &Question, deadline: Instant) -> Option<Answer> {
    let link = peer.link()?;
    match link.request(question, deadline.saturating_duration_since(Instant::now())).await {
        Ok(Answer::Failed(reason)) => {
            tracing::debug!(peer = peer.name, reason, "peer could not answer");
            None
        }
        Ok(answer) => Some(answer),
        Err(error) => {
            tracing::debug!(peer = peer.name, %error, "peer did not answer");
            None
        }
    }
}
