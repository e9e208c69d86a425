//! The network: what is in flight, in no order, some of it twice, some of it never to arrive.

use bytes::Bytes;
use settle_core::dot::{Dot, Epoch};
use settle_core::hlc::Hlc;
use settle_core::layout::decide::Ballot;
use settle_core::layout::steps::{Position, Standing};

use crate::rng::Rng;

/// The most messages in flight; beyond it one is lost, as by any queue with a bound.
const FLYING_MAX: usize = 120;

/// A message on its way. What the kernel encodes is encoded, so that every run also exercises the codec.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The sender's place.
    pub from: usize,
    /// The sender's life.
    pub from_epoch: Epoch,
    /// The receiver's place.
    pub to: usize,
    /// The partition's index; 0 for echoes, which speak for all.
    pub partition: usize,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Body {
    /// A write.
    Delta(Bytes),
    /// A question for what a write at quorum must supersede: which one, by key and operation, and what its coordinator
    /// has seen.
    Collect(usize, usize, Bytes),
    /// Its answer: key, operation, dots and highest stamp.
    Collected(usize, usize, Bytes, Hlc),
    /// A write is durable at the sender.
    Ack(Dot),
    /// A log exchange: the asking replica's clock.
    LogRequest(Bytes),
    /// Its answer.
    LogPage(Bytes),
    /// Its answer when the log is not enough.
    LogFull,
    /// A full exchange: the next request.
    FullRequest(Bytes),
    /// Its answer.
    FullPage(Bytes),
    /// A question for the clocks of all partitions.
    EchoRequest(EchoRequest),
    /// Its answer.
    EchoAnswer(EchoAnswer),
    /// A read of a key by its index: what the asking replica has of it.
    Compare(ReadId, usize, Bytes),
    /// Its answer.
    Compared(ReadId, Bytes),
    /// What the receiver lacks of a key that is read.
    Repair(ReadId, Bytes),
    /// The receiver holds it.
    Repaired(ReadId),
    /// A proposer asks for a promise.
    Prepare(Bytes),
    /// A proposer asks to accept a layout.
    Accept(Bytes),
    /// The answer to an attempt.
    Vote(Attempt, Bytes),
    /// A question for the layouts that the receiver knows.
    LayoutRequest,
    /// Its answer.
    Layout(Bytes),
}

/// Names an attempt to decide in its messages. A ballot alone would not: attempts for different versions may have the same,
/// and an answer that comes late would count for the next version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The version that is decided on.
    pub version: u64,
    /// The ballot, one for each attempt for a version.
    pub ballot: Ballot,
}

/// Names a read in its messages; never used twice.
pub type ReadId = u64;

/// Names an earlier answer: the life, the tick and the position in which it was given.
pub type Base = Option<(Epoch, u64, Position)>;

/// A question for clocks.
#[derive(Debug, Clone)]
pub struct EchoRequest {
    /// When it was asked.
    pub asked: u64,
    /// In which life of the asking node.
    pub epoch: Epoch,
    /// The answer that the new one may refer to.
    pub base: Base,
    /// What the asking node tells of itself.
    pub standing: Option<Standing>,
}

/// The answer to a question for clocks.
#[derive(Debug, Clone)]
pub struct EchoAnswer {
    /// The question.
    pub request: EchoRequest,
    /// The answering node's tick.
    pub tick: u64,
    /// Its position.
    pub position: Position,
    /// What it tells of itself.
    pub standing: Option<Standing>,
    /// Of each partition.
    pub clocks: Vec<Clocked>,
}

/// What an answer says of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clocked {
    /// Its clock.
    Whole(Bytes),
    /// The clock is the same as in the answer that the question named.
    Same,
    /// One of the two nodes does not hold it.
    NotShared,
}

/// The kinds of traffic, so that a burst of one does not hold the others up for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Writes.
    #[default]
    Delta,
    /// What writes at quorum ask for before, and their acknowledgements.
    Ack,
    /// Log exchanges.
    Log,
    /// Full exchanges.
    Full,
    /// Echoes.
    Echo,
    /// Reads at several replicas.
    Read,
    /// Decisions on layouts.
    Layout,
}

/// Everything in flight, and the links that are cut.
#[derive(Debug, Default)]
pub struct Network {
    flying: Vec<Envelope>,
    cut: Vec<(usize, usize)>,
    loss: usize,
    duplication: usize,
}

impl Body {
    /// The kind of traffic that it belongs to.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Delta(_) => Kind::Delta,
            Self::Collect(..) | Self::Collected(..) | Self::Ack(_) => Kind::Ack,
            Self::EchoRequest(_) | Self::EchoAnswer(_) => Kind::Echo,
            Self::LogRequest(_) | Self::LogPage(_) | Self::LogFull => Kind::Log,
            Self::FullRequest(_) | Self::FullPage(_) => Kind::Full,
            Self::Compare(..) | Self::Compared(..) | Self::Repair(..) | Self::Repaired(_) => Kind::Read,
            Self::Prepare(_) | Self::Accept(_) | Self::Vote(..) | Self::LayoutRequest | Self::Layout(_) => {
                Kind::Layout
            }
        }
    }

    /// Whether it concerns one partition, which its receiver must hold.
    #[must_use]
    pub const fn is_of_partition(&self) -> bool {
        !matches!(self.kind(), Kind::Echo | Kind::Layout)
    }

    /// Its name in traces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delta(_) => "delta",
            Self::Collect(..) => "collect",
            Self::Collected(..) => "collected",
            Self::Ack(_) => "acknowledgement",
            Self::LogRequest(_) => "log request",
            Self::LogPage(_) => "log page",
            Self::LogFull => "log is not enough",
            Self::FullRequest(_) => "full request",
            Self::FullPage(_) => "full page",
            Self::EchoRequest(_) => "echo",
            Self::EchoAnswer(_) => "echo answer",
            Self::Compare(..) => "read",
            Self::Compared(..) => "read answer",
            Self::Repair(..) => "repair",
            Self::Repaired(_) => "repaired",
            Self::Prepare(_) => "prepare",
            Self::Accept(_) => "accept",
            Self::Vote(..) => "vote",
            Self::LayoutRequest => "layout request",
            Self::Layout(_) => "layout",
        }
    }
}

impl Network {
    /// A network that loses and duplicates so many of 1,000 messages.
    #[must_use]
    pub fn new(loss: usize, duplication: usize) -> Self {
        Self { loss, duplication, ..Self::default() }
    }

    /// Sends a message: it is lost, or in flight once or twice.
    pub fn send(&mut self, rng: &mut Rng, envelope: Envelope) {
        if self.is_cut(envelope.from, envelope.to) || rng.chance(self.loss) {
            return;
        }
        if rng.chance(self.duplication) {
            self.flying.push(envelope.clone());
        }
        self.flying.push(envelope);
        while self.flying.len() > FLYING_MAX {
            let lost = rng.below(self.flying.len());
            self.flying.swap_remove(lost);
        }
    }

    /// Takes some message out, rather one that is `wanted`.
    pub fn arrive(&mut self, rng: &mut Rng, wanted: impl Fn(&Envelope) -> bool) -> Option<Envelope> {
        if let Some(envelope) = self.take(rng, wanted) {
            return Some(envelope);
        }
        let any = rng.below(self.flying.len());
        (!self.flying.is_empty()).then(|| self.flying.swap_remove(any))
    }

    /// Takes some message out that is `wanted`.
    pub fn take(&mut self, rng: &mut Rng, wanted: impl Fn(&Envelope) -> bool) -> Option<Envelope> {
        let start = rng.below(self.flying.len());
        let (before, after) = self.flying.split_at(start);
        let later = after.iter().position(&wanted).map(|offset| start + offset);
        let index = later.or_else(|| before.iter().position(&wanted))?;
        Some(self.flying.swap_remove(index))
    }

    /// Cuts a link in both directions, or restores it.
    pub fn toggle(&mut self, a: usize, b: usize) {
        let link = (a.min(b), a.max(b));
        match self.cut.iter().position(|cut| *cut == link) {
            Some(index) => {
                self.cut.swap_remove(index);
            }
            None => self.cut.push(link),
        }
    }

    /// Whether messages between the two are lost.
    #[must_use]
    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Restores all links.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Takes out everything that is still in flight.
    pub fn drain(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.flying)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: Kind) -> Envelope {
        let body = if kind == Kind::Delta { Body::Delta(Bytes::new()) } else { Body::LogFull };
        Envelope { from: 0, from_epoch: Epoch(1), to: 1, partition: 0, body }
    }

    #[test]
    fn links_lose_duplicate_and_are_cut() {
        let mut rng = Rng::new(1);
        let mut network = Network::new(0, 1000);
        network.send(&mut rng, message(Kind::Delta));
        assert_eq!(network.drain().len(), 2);
        network.toggle(1, 0);
        network.send(&mut rng, message(Kind::Delta));
        assert!(network.is_cut(0, 1) && network.drain().is_empty());
        network.toggle(0, 1);
        network.loss = 1000;
        network.send(&mut rng, message(Kind::Delta));
        assert!(!network.is_cut(0, 1) && network.arrive(&mut rng, |_| true).is_none());
    }

    #[test]
    fn what_is_in_flight_is_bounded_and_arrives_by_kind() {
        let mut rng = Rng::new(1);
        let mut network = Network::new(0, 0);
        let is_log = |envelope: &Envelope| envelope.body.kind() == Kind::Log;
        network.send(&mut rng, message(Kind::Log));
        for _ in 0..50 {
            network.send(&mut rng, message(Kind::Delta));
        }
        assert_eq!(network.arrive(&mut rng, is_log).unwrap().body.kind(), Kind::Log);
        assert_eq!(network.arrive(&mut rng, is_log).unwrap().body.kind(), Kind::Delta);
        for _ in 0..200 {
            network.send(&mut rng, message(Kind::Delta));
        }
        assert_eq!(network.drain().len(), FLYING_MAX);
    }
}
