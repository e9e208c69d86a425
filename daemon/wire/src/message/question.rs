//! Questions, each with one answer.

use settle_core::clock::Clock;
use settle_core::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use settle_core::key::{Key, PartitionId};
use settle_core::layout::decide::{Accept, Prepare};
use settle_core::partition::{FullRequest, Have, Repair};

use super::{partition, put_partition, tag};

/// What one node asks another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether the answering replica holds of a key what the asking one holds: [`super::Answer::Compared`].
    Compare {
        /// The key's partition.
        partition: PartitionId,
        /// The key.
        key: Key,
        /// What the asking replica holds.
        have: Have,
    },
    /// What the answering replica lacks of a key, answered when it holds it durably: [`super::Answer::Repaired`].
    Repair {
        /// The key's partition.
        partition: PartitionId,
        /// The state of the key.
        repair: Repair,
    },
    /// What a write must supersede that its coordinator has not seen: [`super::Answer::Collected`].
    Collect {
        /// The key's partition.
        partition: PartitionId,
        /// The key.
        key: Key,
        /// All that the coordinator has seen.
        known: Clock,
    },
    /// Which nodes hold what: [`super::Answer::Layout`].
    Layout,
    /// The first question of an attempt to decide the next layout: [`super::Answer::Vote`].
    Prepare(Prepare),
    /// The second one: [`super::Answer::Vote`].
    Accept(Box<Accept>),
    /// Which durable clocks have changed: [`super::Answer::Echo`].
    Echo {
        /// The tick of the answer that changes are relative to; 0 asks for everything.
        since: u64,
    },
    /// What the asking replica lacks: [`super::Answer::Log`].
    PullLog {
        /// The partition.
        partition: PartitionId,
        /// The asking replica's durable clock.
        clock: Clock,
    },
    /// The next step of a full exchange: [`super::Answer::Full`].
    PullFull {
        /// The partition.
        partition: PartitionId,
        /// Which page.
        request: FullRequest,
    },
}

impl Question {
    pub(super) const fn tag(&self) -> u8 {
        match self {
            Self::Compare { .. } => tag::COMPARE,
            Self::Repair { .. } => tag::REPAIR,
            Self::Collect { .. } => tag::COLLECT,
            Self::Layout => tag::ASK_LAYOUT,
            Self::Prepare(_) => tag::PREPARE,
            Self::Accept(_) => tag::ACCEPT,
            Self::Echo { .. } => tag::ECHO,
            Self::PullLog { .. } => tag::PULL_LOG,
            Self::PullFull { .. } => tag::PULL_FULL,
        }
    }

    pub(super) fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Compare { partition, key, have } => {
                put_partition(out, *partition);
                key.encode(out);
                have.encode(out);
            }
            Self::Repair { partition, repair } => {
                put_partition(out, *partition);
                repair.encode(out);
            }
            Self::Collect { partition, key, known } => {
                put_partition(out, *partition);
                key.encode(out);
                known.encode(out);
            }
            Self::Layout => {}
            Self::Prepare(prepare) => prepare.encode(out),
            Self::Accept(accept) => accept.encode(out),
            Self::Echo { since } => put_varint(out, *since),
            Self::PullLog { partition, clock } => {
                put_partition(out, *partition);
                clock.encode(out);
            }
            Self::PullFull { partition, request } => {
                put_partition(out, *partition);
                request.encode(out);
            }
        }
    }

    pub(super) fn decode_body(tag: u8, input: &mut Reader) -> Result<Self, DecodeError> {
        match tag {
            tag::COMPARE => Ok(Self::Compare {
                partition: partition(input)?,
                key: Key::decode(input)?,
                have: Have::decode(input)?,
            }),
            tag::REPAIR => Ok(Self::Repair { partition: partition(input)?, repair: Repair::decode(input)? }),
            tag::COLLECT => {
                let (partition, key) = (partition(input)?, Key::decode(input)?);
                Ok(Self::Collect { partition, key, known: Clock::decode(input)? })
            }
            tag::ASK_LAYOUT => Ok(Self::Layout),
            tag::PREPARE => Ok(Self::Prepare(Prepare::decode(input)?)),
            tag::ACCEPT => Ok(Self::Accept(Box::new(Accept::decode(input)?))),
            tag::ECHO => Ok(Self::Echo { since: input.varint()? }),
            tag::PULL_LOG => Ok(Self::PullLog { partition: partition(input)?, clock: Clock::decode(input)? }),
            tag::PULL_FULL => {
                Ok(Self::PullFull { partition: partition(input)?, request: FullRequest::decode(input)? })
            }
            _ => Err(DecodeError::Invalid("message: unknown kind")),
        }
    }
}
