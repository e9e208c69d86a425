//! What nodes say to each other. One byte says which message it is; its fields follow.

mod answer;
mod question;

use bytes::Bytes;
use settle_core::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use settle_core::key::PartitionId;
use settle_core::partition::Delta;

pub use answer::{Answer, EchoReply};
pub use question::Question;

/// From the asking side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A write. The n-th delta of a connection has the sequence n, from 1.
    Delta {
        /// The partition of its key.
        partition: PartitionId,
        /// The write.
        delta: Delta,
    },
    /// A question.
    Ask {
        /// Names it in the answer; never used twice on a connection.
        id: u64,
        /// What is asked.
        question: Question,
    },
}

/// From the answering side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// All deltas up to a sequence are durable.
    Ack {
        /// That sequence.
        upto: u64,
    },
    /// The answer to a question; answers come in any order.
    Answer {
        /// The question's id.
        id: u64,
        /// What is answered.
        answer: Answer,
    },
}

/// The first byte of a message. Numbers are never reused. (2, 129, 131, 136,
/// 137 and 140 had a meaning once.)
mod tag {
    pub(super) const DELTA: u8 = 1;
    pub(super) const COLLECT: u8 = 3;
    pub(super) const ECHO: u8 = 4;
    pub(super) const PULL_LOG: u8 = 5;
    pub(super) const PULL_FULL: u8 = 6;
    pub(super) const COMPARE: u8 = 7;
    pub(super) const REPAIR: u8 = 8;
    pub(super) const ASK_LAYOUT: u8 = 9;
    pub(super) const PREPARE: u8 = 10;
    pub(super) const ACCEPT: u8 = 11;

    pub(super) const ACK: u8 = 128;
    pub(super) const COLLECTED: u8 = 130;
    pub(super) const LOG_PAGE: u8 = 132;
    pub(super) const LOG_FULL: u8 = 133;
    pub(super) const FULL_PAGE: u8 = 134;
    pub(super) const FAILED: u8 = 135;
    pub(super) const COMPARED: u8 = 138;
    pub(super) const REPAIRED: u8 = 139;
    pub(super) const LAYOUT: u8 = 141;
    pub(super) const ECHO_REPLY: u8 = 142;
    pub(super) const VOTE: u8 = 143;
}

/// Appends a delta that is encoded already, so that one encoding serves all peers.
pub(crate) fn put_delta(out: &mut Vec<u8>, partition: PartitionId, encoded: &[u8]) {
    out.push(tag::DELTA);
    put_partition(out, partition);
    out.extend_from_slice(encoded);
}

/// Appends a question.
pub(crate) fn put_ask(out: &mut Vec<u8>, id: u64, question: &Question) {
    out.push(question.tag());
    put_varint(out, id);
    question.encode_body(out);
}

/// Appends an answer.
pub(crate) fn put_answer(out: &mut Vec<u8>, id: u64, answer: &Answer) {
    out.push(answer.tag());
    put_varint(out, id);
    answer.encode_body(out);
}

impl Encode for Request {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Delta { partition, delta } => {
                out.push(tag::DELTA);
                put_partition(out, *partition);
                delta.encode(out);
            }
            Self::Ask { id, question } => put_ask(out, *id, question),
        }
    }
}

impl Decode for Request {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        match input.u8()? {
            tag::DELTA => Ok(Self::Delta { partition: partition(input)?, delta: Delta::decode(input)? }),
            tag => Ok(Self::Ask { id: input.varint()?, question: Question::decode_body(tag, input)? }),
        }
    }
}

impl Encode for Reply {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ack { upto } => {
                out.push(tag::ACK);
                put_varint(out, *upto);
            }
            Self::Answer { id, answer } => put_answer(out, *id, answer),
        }
    }
}

impl Decode for Reply {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        match input.u8()? {
            tag::ACK => Ok(Self::Ack { upto: input.varint()? }),
            tag => Ok(Self::Answer { id: input.varint()?, answer: Answer::decode_body(tag, input)? }),
        }
    }
}

fn put_partition(out: &mut Vec<u8>, partition: PartitionId) {
    put_varint(out, u64::from(partition.0));
}

fn partition(input: &mut Reader) -> Result<PartitionId, DecodeError> {
    let number = u16::try_from(input.varint()?);
    number.map(PartitionId).map_err(|_| DecodeError::Invalid("message: partitions run up to 65,535"))
}

/// A text; not more than it takes in the input.
pub(crate) fn text(bytes: &Bytes) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid("text: not UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
