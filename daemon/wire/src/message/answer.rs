//! Answers.

use settle_core::clock::Clock;
use settle_core::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_u64, put_varint};
use settle_core::dot::Origin;
use settle_core::hlc::Hlc;
use settle_core::key::PartitionId;
use settle_core::layout::decide::Vote;
use settle_core::layout::steps::{LayoutState, Standing};
use settle_core::partition::{Collected, Compared, FullPage, LogAnswer, LogPage};

use super::{partition, put_partition, tag, text};

/// What one node answers another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the replica says to what the asking one holds of a key.
    Compared(Compared),
    /// What was repaired is durable.
    Repaired {
        /// Whether anything was lacking.
        changed: bool,
    },
    /// What a write must supersede.
    Collected(Collected),
    /// Which durable clocks have changed.
    Echo(EchoReply),
    /// A page of a log exchange, or the advice to ask for everything.
    Log(LogAnswer),
    /// The answer to a step of a full exchange.
    Full(FullPage),
    /// The answering node's layout, if it has one, and the change that it is in.
    Layout(Option<Box<LayoutState>>),
    /// On the next layout; durable at the answering node.
    Vote(Box<Vote>),
    /// The question could not be answered.
    Failed(String),
}

/// The answering node's durable clocks, taken after the question arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoReply {
    /// The answering node in its present life.
    pub origin: Origin,
    /// Names this answer, for the next question's `since`.
    pub tick: u64,
    /// How far the answering node is with layouts; `None` while it has none. The clocks are those of the partitions that
    /// it shares with the asking one there.
    pub standing: Option<Standing>,
    /// The answering node's wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The clocks that have changed since the answer that the question named.
    pub changed: Vec<(PartitionId, Clock)>,
}

impl Answer {
    pub(super) const fn tag(&self) -> u8 {
        match self {
            Self::Compared(_) => tag::COMPARED,
            Self::Repaired { .. } => tag::REPAIRED,
            Self::Collected(_) => tag::COLLECTED,
            Self::Echo(_) => tag::ECHO_REPLY,
            Self::Log(LogAnswer::Page(_)) => tag::LOG_PAGE,
            Self::Log(LogAnswer::Full) => tag::LOG_FULL,
            Self::Full(_) => tag::FULL_PAGE,
            Self::Layout(_) => tag::LAYOUT,
            Self::Vote(_) => tag::VOTE,
            Self::Failed(_) => tag::FAILED,
        }
    }

    pub(super) fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Compared(compared) => compared.encode(out),
            Self::Repaired { changed } => out.push(u8::from(*changed)),
            Self::Collected(Collected { dots, stamp }) => {
                dots.encode(out);
                put_u64(out, stamp.0);
            }
            Self::Echo(reply) => reply.encode(out),
            Self::Log(LogAnswer::Page(page)) => page.encode(out),
            Self::Log(LogAnswer::Full) => {}
            Self::Full(page) => page.encode(out),
            Self::Layout(layout) => {
                out.push(u8::from(layout.is_some()));
                if let Some(layout) = layout {
                    layout.encode(out);
                }
            }
            Self::Vote(vote) => vote.encode(out),
            Self::Failed(text) => put_bytes(out, text.as_bytes()),
        }
    }

    pub(super) fn decode_body(tag: u8, input: &mut Reader) -> Result<Self, DecodeError> {
        match tag {
            tag::COMPARED => Ok(Self::Compared(Compared::decode(input)?)),
            tag::REPAIRED => match input.u8()? {
                changed @ 0..=1 => Ok(Self::Repaired { changed: changed == 1 }),
                _ => Err(DecodeError::Invalid("message: repaired")),
            },
            tag::COLLECTED => {
                let (dots, stamp) = (Clock::decode(input)?, Hlc(input.u64()?));
                Ok(Self::Collected(Collected { dots, stamp }))
            }
            tag::ECHO_REPLY => Ok(Self::Echo(EchoReply::decode(input)?)),
            tag::LOG_PAGE => Ok(Self::Log(LogAnswer::Page(LogPage::decode(input)?))),
            tag::LOG_FULL => Ok(Self::Log(LogAnswer::Full)),
            tag::FULL_PAGE => Ok(Self::Full(FullPage::decode(input)?)),
            tag::LAYOUT => match input.u8()? {
                0 => Ok(Self::Layout(None)),
                _ => Ok(Self::Layout(Some(Box::new(LayoutState::decode(input)?)))),
            },
            tag::VOTE => Ok(Self::Vote(Box::new(Vote::decode(input)?))),
            tag::FAILED => Ok(Self::Failed(text(&input.bytes()?)?)),
            _ => Err(DecodeError::Invalid("message: unknown kind")),
        }
    }
}

impl Encode for EchoReply {
    fn encode(&self, out: &mut Vec<u8>) {
        self.origin.encode(out);
        put_varint(out, self.tick);
        out.push(u8::from(self.standing.is_some()));
        if let Some(standing) = &self.standing {
            standing.encode(out);
        }
        put_varint(out, self.wall_ms);
        put_varint(out, self.changed.len() as u64);
        for (partition, clock) in &self.changed {
            put_partition(out, *partition);
            clock.encode(out);
        }
    }
}

impl Decode for EchoReply {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let origin = Origin::decode(input)?;
        let tick = input.varint()?;
        let standing = match input.u8()? {
            0 => None,
            _ => Some(Standing::decode(input)?),
        };
        let wall_ms = input.varint()?;
        // The smallest: a partition and an empty clock.
        let count = input.count(2)?;
        // In memory each is many times larger: growing costs what really arrives.
        let mut changed = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            changed.push((partition(input)?, Clock::decode(input)?));
        }
        Ok(Self { origin, tick, standing, wall_ms, changed })
    }
}
