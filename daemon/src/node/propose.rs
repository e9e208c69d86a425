//! Having the next layout decided: by a majority of the hosts of the present one, each of whose votes is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use settle_core::dot::NodeId;
use settle_core::layout::Layout;
use settle_core::layout::decide::{Outcome, Proposer, Vote};
use settle_core::layout::steps::{LayoutState, Position};
use settle_core::placement::{Host, PlacementError, Summary};
use settle_wire::message::{Answer, Question};
use tokio::time::{Instant, sleep, timeout_at};

use super::Node;
use super::gather::answer;
use super::layout::AdoptError;

/// How long deciding may take; without a majority it would take for ever.
const DEADLINE: Duration = Duration::from_secs(8);

/// The longest pause, in milliseconds, of an attempt that met another one.
const PAUSE_MAX_MS: u64 = 300;

/// Why a change did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProposeError {
    /// There is nothing to change.
    #[error("this node does not know its cluster's layout yet")]
    NotBorn,
    /// One change at a time.
    #[error(
        "the change to layout {version} is in step {step} of 5; the next one can begin when it has ended"
    )]
    InProgress {
        /// The version that it leads to.
        version: u64,
        /// The step.
        step: u8,
    },
    /// Somebody else was faster.
    #[error(
        "another change was decided first, to layout {version}; the next one can begin when it has ended"
    )]
    Overtaken {
        /// The version that it leads to.
        version: u64,
    },
    /// The nodes do not fit together.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Too few votes.
    #[error(
        "a majority of the {hosts} nodes of the layout must agree, and too few answered in time; it is not known \
         whether the change will take place"
    )]
    NoMajority {
        /// How many nodes vote.
        hosts: usize,
    },
    /// This node's own vote could not be stored.
    #[error(transparent)]
    NotStored(#[from] AdoptError),
}

/// How an attempt ended.
enum Attempt {
    Decided(Layout),
    /// A round that another one was at.
    Beaten(u64),
    Elsewhere(Position),
    /// Too few answered.
    Silence,
}

impl Node {
    /// Has `hosts` decided as the nodes of the next layout, and begins to go there.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub(crate) async fn propose(&self, hosts: Vec<Host>) -> Result<Summary, ProposeError> {
        let deadline = Instant::now() + DEADLINE;
        let mut beaten = 0;
        loop {
            let state = self.layout().ok_or(ProposeError::NotBorn)?;
            let current = state.current();
            let (next, summary) = current.next(hosts.clone(), current.replication().clone())?;
            let round = 1 + state.acceptor().round().max(beaten);
            let in_progress = || ProposeError::in_progress(&state);
            let (proposer, prepare) =
                Proposer::new(self.origin.node, round, &state, next.clone()).ok_or_else(in_progress)?;
            match self.attempt(proposer, Question::Prepare(prepare), &state, deadline).await? {
                Attempt::Decided(decided) => {
                    let is_own = decided == next;
                    self.decided(decided).await?;
                    let version = next.version;
                    return if is_own { Ok(summary) } else { Err(ProposeError::Overtaken { version }) };
                }
                Attempt::Beaten(round) if Instant::now() < deadline => {
                    beaten = round;
                    sleep(Duration::from_millis(rand::random::<u64>() % PAUSE_MAX_MS)).await;
                }
                Attempt::Elsewhere(position) if position > state.position() => {
                    // In force there, or on the way.
                    let version = position.version + u64::from(position.step.is_some());
                    return Err(ProposeError::Overtaken { version });
                }
                Attempt::Beaten(_) | Attempt::Elsewhere(_) | Attempt::Silence => {
                    return Err(ProposeError::NoMajority { hosts: current.hosts().len() });
                }
            }
        }
    }

    /// One attempt: every host is asked to promise, and then to accept.
    async fn attempt(
        &self,
        mut proposer: Proposer,
        first: Question,
        state: &LayoutState,
        deadline: Instant,
    ) -> Result<Attempt, ProposeError> {
        let hosts: Vec<NodeId> = state.current().hosts().iter().map(|host| host.node).collect();
        let mut questions = VecDeque::from([Arc::new(first)]);
        let mut votes = FuturesUnordered::new();
        loop {
            while let Some(question) = questions.pop_front() {
                votes.extend(hosts.iter().map(|host| self.vote_of(*host, Arc::clone(&question))));
            }
            let Ok(Some((from, vote))) = timeout_at(deadline, votes.next()).await else {
                return Ok(Attempt::Silence);
            };
            let Some(vote) = vote? else { continue };
            match proposer.voted(from, vote) {
                Outcome::Wait => {}
                Outcome::Ask(accept) => questions.push_back(Arc::new(Question::Accept(Box::new(accept)))),
                Outcome::Decided(layout) => return Ok(Attempt::Decided(layout)),
                Outcome::Beaten(round) => return Ok(Attempt::Beaten(round)),
                // One that is behind has no vote yet.
                Outcome::Elsewhere(position) if position < state.position() => {}
                Outcome::Elsewhere(position) => return Ok(Attempt::Elsewhere(position)),
            }
        }
    }

    /// The vote of a host, this node included; `None` if it has none. Whoever waits has the deadline.
    async fn vote_of(
        &self,
        host: NodeId,
        question: Arc<Question>,
    ) -> (NodeId, Result<Option<Vote>, ProposeError>) {
        if host == self.origin.node {
            return (host, self.vote(&question).await.map_err(Into::into));
        }
        let Some(peer) = self.peer(host) else { return (host, Ok(None)) };
        let vote = match answer(&peer, &question).await {
            Some(Answer::Vote(vote)) => Some(*vote),
            _ => None,
        };
        (host, Ok(vote))
    }

    /// This node's vote; durable when it is returned.
    pub(crate) async fn vote(&self, question: &Question) -> Result<Option<Vote>, AdoptError> {
        match question {
            Question::Prepare(prepare) => self.promise(*prepare).await,
            Question::Accept(accept) => self.accept((**accept).clone()).await,
            _ => Ok(None),
        }
    }
}

impl ProposeError {
    fn in_progress(state: &LayoutState) -> Self {
        let step = state.change().map_or(0, |change| change.step.number());
        Self::InProgress { version: state.current().version + 1, step }
    }
}
