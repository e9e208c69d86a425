//! Registers: a value with its content type, and the rules that choose among siblings.

use bytes::Bytes;

use crate::codec::{DecodeError, Reader, put_bytes};
use crate::dot::Dot;
use crate::entry::{Entry, Version};

/// How a register deals with siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolver {
    /// The highest (stamp, node) wins; a write supersedes everything that its coordinator has seen.
    #[default]
    Lww,
    /// All siblings are shown; a write supersedes what its context covers.
    Siblings,
}

/// A register's value as clients put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The content type that it was put with; may be empty.
    pub content_type: Bytes,
    /// The value.
    pub bytes: Bytes,
}

impl Resolver {
    /// Its name in configuration and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lww => "lww",
            Self::Siblings => "siblings",
        }
    }
}

impl Value {
    /// The payload of a version that holds this value.
    #[must_use]
    pub fn to_payload(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.content_type.len() + self.bytes.len() + 2);
        put_bytes(&mut out, &self.content_type);
        out.extend_from_slice(&self.bytes);
        Bytes::from(out)
    }

    /// The value in a version's payload, sharing its bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when the payload is not a register's.
    pub fn from_payload(payload: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload.clone());
        let content_type = reader.bytes()?;
        let rest = payload.len() - reader.remaining();
        Ok(Self { content_type, bytes: payload.slice(rest..) })
    }
}

/// The sibling with the highest (stamp, node), for `lww`.
#[must_use]
pub fn winner(entry: &Entry) -> Option<&(Dot, Version)> {
    entry.siblings.iter().max_by_key(|(dot, version)| (version.stamp, dot.origin, dot.counter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dot::{Epoch, NodeId, Origin};
    use crate::hlc::Hlc;

    #[test]
    fn a_value_comes_back_from_its_payload() {
        let value = Value { content_type: "text/plain".into(), bytes: Bytes::from_static(b"\0hello") };
        assert_eq!(Value::from_payload(&value.to_payload()), Ok(value));
    }

    #[test]
    fn the_highest_stamp_wins_and_the_node_breaks_ties() {
        let mut entry = Entry::default();
        for (node, stamp) in [(1, 5), (2, 9), (3, 9)] {
            let dot = Dot { origin: Origin { node: NodeId(node), epoch: Epoch(1) }, counter: 1 };
            entry.insert(dot, Version { stamp: Hlc(stamp), payload: Bytes::new() });
        }
        assert_eq!(winner(&entry).map(|(dot, _)| dot.origin.node), Some(NodeId(3)));
    }
}
