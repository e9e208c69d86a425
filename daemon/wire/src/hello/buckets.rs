//! The buckets that a node declares, as it tells others: every node must declare the same ones.

use settle_core::codec::{Decode, DecodeError, Encode, Reader, put_bytes};

use crate::message::text;

/// The most buckets that a node tells of; all of them fit a greeting.
pub const BUCKETS_MAX: usize = 256;

/// A bucket of a node's configuration, in the words of that configuration: a later version may know types and rules that
/// this program does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredBucket {
    /// Its name.
    pub name: String,
    /// What its keys hold.
    pub kind: String,
    /// What becomes of concurrent writes.
    pub resolver: String,
}

impl Encode for DeclaredBucket {
    fn encode(&self, out: &mut Vec<u8>) {
        for field in [&self.name, &self.kind, &self.resolver] {
            put_bytes(out, field.as_bytes());
        }
    }
}

impl Decode for DeclaredBucket {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text(&input.bytes()?)?,
            kind: text(&input.bytes()?)?,
            resolver: text(&input.bytes()?)?,
        })
    }
}
