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

use super::route::{Partner, Route, Routes};
use super::sets::{PerSet, Sets};
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

/// What a request asks other replicas under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    /// Where the replicas were when the request began.
    pub(super) routes: &'a Arc<Routes>,
    /// The partition of its key.
    pub(super) id: PartitionId,
    /// How many replicas of each set its level needs, this node included.
    pub(super) needed: PerSet,
    /// When its answer is due.
    pub(super) deadline: Instant,
}

impl Asking<'_> {
    /// Where the replicas of its partition are.
    pub(super) fn route(&self) -> &Route {
        self.routes.of(self.id)
    }
}

impl Route {
    /// Whether this node alone is as many replicas as are needed.
    pub(super) fn is_alone(&self, needed: PerSet) -> bool {
        PerSet::from_iter([self.sets]).lacking(needed).is_empty()
    }
}

impl Node {
    /// Fails when this node may not serve clients from what it holds of a partition, or does not know.
    pub(crate) fn require_own(&self, route: &Route) -> Result<(), Unavailable> {
        match route {
            route if route.coordinates => Ok(()),
            route if route.is_known() => Err(Unavailable::NotReplica),
            _ => Err(self.not_born()),
        }
    }

    /// What this node waits for, as `/readyz` says it.
    pub(crate) fn not_born(&self) -> Unavailable {
        let reasons = self.readiness.reasons();
        let reason = reasons.into_iter().find(|(part, _)| part == part::LAYOUT).map(|(_, reason)| reason);
        Unavailable::NotBorn(reason.unwrap_or_else(|| "it has just been made".to_owned()))
    }

    /// Fails fast when fewer replicas are alive than are needed.
    pub(super) fn require(&self, asking: &Asking<'_>) -> Result<(), Unavailable> {
        let (route, needed) = (asking.route(), asking.needed);
        if route.is_alone(needed) {
            return Ok(());
        }
        let (now, silence) = (clock::now(), self.silence_max());
        let others = route.partners.iter().filter(|partner| partner.peer.is_up(now, silence));
        let alive: PerSet = others.map(|partner| partner.sets).chain([route.sets]).collect();
        if alive.lacking(needed).is_empty() {
            return Ok(());
        }
        let (alive, needed) = alive.worst(needed);
        Err(Unavailable::TooFew { needed, alive })
    }
}

/// The peers that were asked and not heard from, and when each of them is late.
type Overdue = Vec<(NodeId, Sets, Instant)>;

/// Asks peers until as many replicas of each set as are needed, this node included, have answered. When one takes longer
/// than it mostly does, the next one is asked as well, and in the place of one that fails.
pub(super) async fn gather(
    node: &Node,
    asking: &Asking<'_>,
    question: &Question,
) -> Result<Vec<(Partner, Answer)>, Unavailable> {
    let Asking { needed, deadline, .. } = *asking;
    let own = PerSet::from_iter([asking.route().sets]);
    // Who is expected to answer in time, and who has.
    let (mut expected, mut answered) = (own, own);
    let mut waiting = node.nearest(asking.routes, asking.id);
    let mut asked = FuturesUnordered::new();
    let mut overdue = Overdue::new();
    let mut answers = Vec::with_capacity(waiting.len());
    while !answered.lacking(needed).is_empty() {
        while let Some(partner) = next(&mut waiting, expected.lacking(needed)) {
            expected.add(partner.sets);
            overdue.push((
                partner.peer.node,
                partner.sets,
                Instant::now() + partner.peer.latency.slow_after(),
            ));
            asked.push(ask(partner, question));
        }
        // With nobody left to ask there is nothing to do before the deadline.
        let hedges = overdue.iter().map(|(_, _, late)| *late).filter(|_| !waiting.is_empty());
        match timeout_at(hedges.min().unwrap_or(deadline).min(deadline), asked.next()).await {
            Ok(Some((partner, answer))) => {
                let in_time = overdue.iter().position(|(asked, _, _)| *asked == partner.peer.node);
                in_time.map(|at| overdue.swap_remove(at));
                match answer {
                    Some(answer) => {
                        answered.add(partner.sets);
                        answers.push((partner, answer));
                    }
                    // In the place of one that was late another one was asked already.
                    None if in_time.is_some() => expected.remove(partner.sets),
                    None => {}
                }
            }
            Err(_) if Instant::now() < deadline => hedge(&mut overdue, &mut expected),
            Ok(None) | Err(_) => {
                let (answered, needed) = answered.worst(needed);
                return Err(Unavailable::Late { answered, needed });
            }
        }
    }
    Ok(answers)
}

/// The nearest of those that were not asked that is in all sets that lack somebody, else in one of them.
fn next(waiting: &mut Vec<Partner>, lacking: Sets) -> Option<Partner> {
    if lacking.is_empty() {
        return None;
    }
    let of_all = waiting.iter().position(|partner| partner.sets.is_in_all_of(lacking));
    let of_one = || waiting.iter().position(|partner| partner.sets.is_in_one_of(lacking));
    of_all.or_else(of_one).map(|at| waiting.remove(at))
}

/// Peers that are late by now are not expected any more; each is late once.
fn hedge(overdue: &mut Overdue, expected: &mut PerSet) {
    let now = Instant::now();
    overdue.retain(|(_, sets, late)| {
        let in_time = *late > now;
        if !in_time {
            expected.remove(*sets);
        }
        in_time
    });
}

/// The answer of a peer, which takes note of how long it took; `None` if it has none. Whoever waits has the deadline.
pub(super) async fn ask(partner: Partner, question: &Question) -> (Partner, Option<Answer>) {
    let waiting = Waiting { partner, asked: Instant::now(), answered: false };
    let answer = answer(&waiting.partner.peer, question).await;
    (waiting.ended(answer.is_some()), answer)
}

/// The answer of a peer; `None` if it has none. Whoever waits has the deadline.
pub(super) async fn answer(peer: &Peer, question: &Question) -> Option<Answer> {
    let link = peer.link()?;
    match link.ask(question).await {
        Ok(answer) => Some(answer),
        Err(error) => {
            tracing::debug!(peer = peer.name, %error, "peer did not answer");
            None
        }
    }
}

/// A question to a peer on its way; tells how long the peer took, also when nobody waits for it any more.
struct Waiting {
    partner: Partner,
    asked: Instant,
    answered: bool,
}

impl Waiting {
    fn ended(mut self, answered: bool) -> Partner {
        self.answered = answered;
        self.partner.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let took = self.asked.elapsed();
        let latency = &self.partner.peer.latency;
        if self.answered { latency.answered(took) } else { latency.given_up(took) }
    }
}
