//! How a cluster decides on its next layout: once, by a majority of the nodes of the present one.
//!
//! Single-decree Paxos (Lamport, "The Part-Time Parliament") for each version. The value is the next layout as a whole.
//! A proposer asks all hosts to promise not to accept anything under a lower ballot; when a majority has, it asks them to
//! accept the value that one of them accepted under the highest ballot so far, or its own if none did. What a majority
//! accepted under one ballot is decided for ever: whoever proposes later learns it from one of them, and proposes the
//! same.
//!
//! ```text
//!   Proposer::new ──> Prepare to all hosts ──> promised() ──> Accept to all hosts ──> voted() ──> LayoutState::decide
//!                          │  LayoutState::prepare                 │  LayoutState::accept
//! ```
//!
//! Hosts that hold no data vote too, and dead ones count in the majority. A host's promise is durable before it answers.

use std::collections::BTreeSet;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64, put_varint};
use crate::dot::NodeId;
use crate::plant::{Plant, planted};

use super::Layout;
use super::steps::{LayoutState, Position};

/// An attempt to decide. Two attempts for one version never have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// Above every round that the proposer has met.
    pub round: u64,
    /// The proposer.
    pub node: NodeId,
}

/// What one host has promised and accepted for the layout after its current one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acceptor {
    promised: Option<Ballot>,
    accepted: Option<(Ballot, Layout)>,
}

/// The first question: to accept nothing under a lower ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepare {
    /// Of which cluster.
    pub birth: u64,
    /// The version to decide on.
    pub version: u64,
    /// The attempt.
    pub ballot: Ballot,
}

/// The second question: to accept a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The attempt.
    pub ballot: Ballot,
    /// The layout.
    pub next: Layout,
}

/// The answer to either question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// It was promised; the layout that was accepted so far, if any.
    Promised(Option<(Ballot, Layout)>),
    /// It was accepted.
    Accepted,
    /// This higher ballot was promised to another attempt.
    Refused(Ballot),
    /// The answerer does not decide on that version: it is here.
    Elsewhere(Position),
}

/// One attempt, at the node that makes it. It lives in memory only: an attempt that is given up does no harm.
#[derive(Debug)]
pub struct Proposer {
    ballot: Ballot,
    current: Layout,
    /// Its own value, or the one that it has to take over.
    next: Layout,
    /// Under which ballot that was accepted.
    taken: Option<Ballot>,
    promised: BTreeSet<NodeId>,
    accepted: BTreeSet<NodeId>,
}

/// How an attempt goes on after a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// More votes are needed.
    Wait,
    /// Ask every host to accept this, the node itself too.
    Ask(Accept),
    /// This is decided, be it the own proposal or another one: hand it to [`LayoutState::decide`].
    Decided(Layout),
    /// A higher ballot is under way: try again later, under a round above this one.
    Beaten(u64),
    /// A host is elsewhere: further, or behind. Compare with [`LayoutState::position`], and fetch its state or wait.
    Elsewhere(Position),
}

impl Acceptor {
    /// The layout accepted last.
    pub fn accepted(&self) -> Option<&Layout> {
        self.accepted.as_ref().map(|(_, layout)| layout)
    }

    /// The highest round that was promised; the next attempt of this node must be above it.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.promised.map_or(0, |ballot| ballot.round)
    }

    fn prepare(&mut self, ballot: Ballot) -> Vote {
        if let Some(promised) = self.promised.filter(|promised| *promised > ballot) {
            return Vote::Refused(promised);
        }
        if !planted(Plant::PromiseForgotten) {
            self.promised = Some(ballot);
        }
        Vote::Promised(self.accepted.clone())
    }

    fn accept(&mut self, ballot: Ballot, next: Layout) -> Vote {
        if let Some(promised) = self.promised.filter(|promised| *promised > ballot) {
            return Vote::Refused(promised);
        }
        self.promised = Some(ballot);
        self.accepted = Some((ballot, next));
        Vote::Accepted
    }
}

impl LayoutState {
    /// This node's part in deciding the next layout.
    #[must_use]
    pub const fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// A node asks for a promise. The answer may be sent when this state is durable.
    pub fn prepare(&mut self, asked: Prepare) -> Vote {
        if (asked.birth, asked.version) != (self.current().birth, self.current().version + 1)
            || self.change().is_some()
        {
            return Vote::Elsewhere(self.position());
        }
        self.acceptor.prepare(asked.ballot)
    }

    /// A node asks to accept a layout. The answer may be sent when this state is durable.
    pub fn accept(&mut self, asked: Accept) -> Vote {
        if !asked.next.follows(self.current()) || self.change().is_some() {
            return Vote::Elsewhere(self.position());
        }
        self.acceptor.accept(asked.ballot, asked.next)
    }
}

impl Proposer {
    /// A new attempt of node `own`, which is at `state`, to make `next` ([`Layout::next`]) the next layout; `round` must be
    /// above all that it has met ([`Acceptor::round`], [`Outcome::Beaten`]). `None` while a change is on its way.
    #[must_use]
    pub fn new(own: NodeId, round: u64, state: &LayoutState, next: Layout) -> Option<(Self, Prepare)> {
        let current = state.current().clone();
        if state.change().is_some() || !next.follows(&current) {
            return None;
        }
        let ballot = Ballot { round, node: own };
        let prepare = Prepare { birth: current.birth, version: next.version, ballot };
        let (promised, accepted) = Default::default();
        Some((Self { ballot, current, next, taken: None, promised, accepted }, prepare))
    }

    /// A host answered a question of this very attempt, the node itself included; answers may come late, twice, or never.
    /// That of an earlier attempt must not be counted, not even one that had the same ballot, for another version.
    pub fn voted(&mut self, from: NodeId, vote: Vote) -> Outcome {
        if self.current.host(from).is_none() {
            return Outcome::Wait;
        }
        match vote {
            Vote::Refused(ballot) => Outcome::Beaten(ballot.round),
            Vote::Elsewhere(position) => Outcome::Elsewhere(position),
            Vote::Promised(accepted) => self.promised(from, accepted),
            Vote::Accepted => self.accepted(from),
        }
    }

    fn promised(&mut self, from: NodeId, accepted: Option<(Ballot, Layout)>) -> Outcome {
        let asked = self.is_majority(&self.promised);
        if asked || !self.promised.insert(from) {
            return Outcome::Wait;
        }
        if let Some((ballot, layout)) = accepted
            && Some(ballot) > self.taken
        {
            (self.taken, self.next) = (Some(ballot), layout);
        }
        match self.is_majority(&self.promised) {
            true => Outcome::Ask(Accept { ballot: self.ballot, next: self.next.clone() }),
            false => Outcome::Wait,
        }
    }

    fn accepted(&mut self, from: NodeId) -> Outcome {
        self.accepted.insert(from);
        match self.is_majority(&self.accepted) {
            true => Outcome::Decided(self.next.clone()),
            false => Outcome::Wait,
        }
    }

    fn is_majority(&self, voters: &BTreeSet<NodeId>) -> bool {
        voters.len() * 2 > self.current.hosts().len()
    }
}

impl Encode for Ballot {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.round);
        put_u64(out, self.node.0);
    }
}

impl Decode for Ballot {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { round: input.varint()?, node: NodeId(input.u64()?) })
    }
}

impl Encode for Prepare {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.birth);
        put_varint(out, self.version);
        self.ballot.encode(out);
    }
}

impl Decode for Prepare {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { birth: input.u64()?, version: input.varint()?, ballot: Ballot::decode(input)? })
    }
}

impl Encode for Accept {
    fn encode(&self, out: &mut Vec<u8>) {
        self.ballot.encode(out);
        self.next.encode(out);
    }
}

impl Decode for Accept {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { ballot: Ballot::decode(input)?, next: Layout::decode(input)? })
    }
}

impl Encode for Acceptor {
    fn encode(&self, out: &mut Vec<u8>) {
        put_option(out, self.promised.as_ref());
        put_accepted(out, self.accepted.as_ref());
    }
}

impl Decode for Acceptor {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let promised = if input.u8()? == 0 { None } else { Some(Ballot::decode(input)?) };
        Ok(Self { promised, accepted: accepted(input)? })
    }
}

impl Encode for Vote {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Promised(accepted) => {
                out.push(0);
                put_accepted(out, accepted.as_ref());
            }
            Self::Accepted => out.push(1),
            Self::Refused(ballot) => {
                out.push(2);
                ballot.encode(out);
            }
            Self::Elsewhere(position) => {
                out.push(3);
                position.encode(out);
            }
        }
    }
}

impl Decode for Vote {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Ok(Self::Promised(accepted(input)?)),
            1 => Ok(Self::Accepted),
            2 => Ok(Self::Refused(Ballot::decode(input)?)),
            3 => Ok(Self::Elsewhere(Position::decode(input)?)),
            _ => Err(DecodeError::Invalid("vote")),
        }
    }
}

fn put_option(out: &mut Vec<u8>, value: Option<&impl Encode>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        value.encode(out);
    }
}

fn put_accepted(out: &mut Vec<u8>, accepted: Option<&(Ballot, Layout)>) {
    put_option(out, accepted.map(|(ballot, _)| ballot));
    if let Some((_, layout)) = accepted {
        layout.encode(out);
    }
}

fn accepted(input: &mut Reader) -> Result<Option<(Ballot, Layout)>, DecodeError> {
    match input.u8()? {
        0 => Ok(None),
        _ => Ok(Some((Ballot::decode(input)?, Layout::decode(input)?))),
    }
}

#[cfg(test)]
mod tests;
