//! The handshake: the first frame in each direction.
//!
//! The asking side sends its [`Hello`]; the answering side sends its own, or a [`Refusal`] and closes. Both check that
//! they belong together, so each side's log says why they do not. Fields are only ever added at the end, and what
//! follows the known ones is skipped: a node can read the hello of any later version, and refuse it with a clear text.

mod buckets;
mod exchange;

use std::ops::RangeInclusive;

use settle_core::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_u64, put_varint};
use settle_core::dot::Origin;

use crate::message::text;

pub use buckets::{BUCKETS_MAX, DeclaredBucket};
pub use exchange::HelloError;
pub(crate) use exchange::{accept, offer};

/// The newest version of the protocol that this program speaks.
pub const VERSION_NEWEST: u64 = 1;

/// The oldest version that it still speaks.
pub const VERSION_OLDEST: u64 = 1;

/// The longest frame of a handshake, in bytes: strangers get no more memory than this.
pub const HELLO_BYTES_MAX: usize = 32 << 10;

const MAGIC: &[u8; 6] = b"settle";
const KIND_HELLO: u8 = 1;
const KIND_REFUSAL: u8 = 2;

/// Who speaks, and what both sides must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The newest version spoken.
    pub version_newest: u64,
    /// The oldest version spoken.
    pub version_oldest: u64,
    /// The cluster's name.
    pub cluster: String,
    /// How many partitions the key space has.
    pub partitions: u32,
    /// The node in its present life.
    pub origin: Origin,
    /// The node's name.
    pub name: String,
    /// Where clients reach it, as `host:port`.
    pub api: String,
    /// Where operators reach it.
    pub admin: String,
    /// Where other nodes reach it.
    pub peer: String,
    /// The newest fence that it knows. Always 0 so far.
    pub fence: u64,
    /// The datacenter that it is in.
    pub datacenter: String,
    /// The zone of that datacenter.
    pub zone: String,
    /// The buckets that it declares; empty when it does not tell.
    pub buckets: Vec<DeclaredBucket>,
}

/// Why a node does not talk to another. Nothing was exchanged but this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The kind of reason.
    pub code: RefusalCode,
    /// The reason for people: names both sides' values.
    pub text: String,
}

/// Kinds of reasons to refuse a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// No version that both speak.
    Version,
    /// Another cluster.
    Cluster,
    /// Another number of partitions.
    Partitions,
    /// The node itself, or a copy of its data directory.
    Identity,
    /// A node that the cluster has fenced off.
    Fenced,
    /// Not now: starting, stopping, or too many connections.
    Busy,
    /// What was sent is no hello.
    Malformed,
    /// Another node has the name.
    Name,
    /// The very process that asks: the address of a node that is gone became its own.
    Itself,
    /// A reason that this program does not know.
    Other(u8),
}

/// A frame of the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one exists per handshake, for a moment")]
pub enum Greeting {
    /// The sender agrees so far.
    Hello(Hello),
    /// The sender does not, and closes.
    Refusal(Refusal),
}

impl Hello {
    /// The versions it names.
    #[must_use]
    pub const fn versions(&self) -> RangeInclusive<u64> {
        self.version_oldest..=self.version_newest
    }

    /// The version that a connection between the two uses: the newest that both speak.
    #[must_use]
    pub fn common_version(&self, other: &Self) -> Option<u64> {
        let newest = self.version_newest.min(other.version_newest);
        (newest >= self.version_oldest.max(other.version_oldest)).then_some(newest)
    }

    /// Whether this node may talk to `peer`.
    ///
    /// # Errors
    /// [`Refusal`] with both sides' values.
    pub fn check(&self, peer: &Self) -> Result<(), Refusal> {
        if self.common_version(peer).is_none() {
            let (own, theirs) = (range(&self.versions()), range(&peer.versions()));
            return Err(Refusal {
                code: RefusalCode::Version,
                text: format!(
                    "node {} speaks {own} of the peer protocol, node {} speaks {theirs}: upgrade the older of the two",
                    self.name, peer.name
                ),
            });
        }
        if self.cluster != peer.cluster {
            return Err(Refusal {
                code: RefusalCode::Cluster,
                text: format!(
                    "node {} belongs to cluster {:?}, node {} to cluster {:?}: check cluster.name and cluster.seeds",
                    self.name, self.cluster, peer.name, peer.cluster
                ),
            });
        }
        if self.partitions != peer.partitions {
            return Err(Refusal {
                code: RefusalCode::Partitions,
                text: format!(
                    "node {} divides its keys into {} partitions, node {} into {}: cluster.partitions must be equal",
                    self.name, self.partitions, peer.name, peer.partitions
                ),
            });
        }
        Ok(())
    }
}

fn range(versions: &RangeInclusive<u64>) -> String {
    match versions.start() == versions.end() {
        true => format!("version {}", versions.end()),
        false => format!("versions {} to {}", versions.start(), versions.end()),
    }
}

impl RefusalCode {
    const fn number(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::Cluster => 2,
            Self::Partitions => 3,
            Self::Identity => 4,
            Self::Fenced => 5,
            Self::Busy => 6,
            Self::Malformed => 7,
            Self::Name => 8,
            Self::Itself => 9,
            Self::Other(number) => number,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            1 => Self::Version,
            2 => Self::Cluster,
            3 => Self::Partitions,
            4 => Self::Identity,
            5 => Self::Fenced,
            6 => Self::Busy,
            7 => Self::Malformed,
            8 => Self::Name,
            9 => Self::Itself,
            other => Self::Other(other),
        }
    }
}

impl Encode for Greeting {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        match self {
            Self::Hello(hello) => {
                out.push(KIND_HELLO);
                hello.encode(out);
            }
            Self::Refusal(refusal) => {
                out.push(KIND_REFUSAL);
                out.push(refusal.code.number());
                put_bytes(out, refusal.text.as_bytes());
            }
        }
    }
}

impl Decode for Greeting {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        for expected in MAGIC {
            if input.u8()? != *expected {
                return Err(DecodeError::Invalid("greeting: not a Settle node"));
            }
        }
        match input.u8()? {
            KIND_HELLO => Hello::decode(input).map(Self::Hello),
            KIND_REFUSAL => {
                let code = RefusalCode::of(input.u8()?);
                Ok(Self::Refusal(Refusal { code, text: text(&input.bytes()?)? }))
            }
            _ => Err(DecodeError::Invalid("greeting: unknown kind")),
        }
    }
}

impl Encode for Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.version_newest);
        put_varint(out, self.version_oldest);
        put_bytes(out, self.cluster.as_bytes());
        put_varint(out, u64::from(self.partitions));
        self.origin.encode(out);
        for field in [&self.name, &self.api, &self.admin, &self.peer] {
            put_bytes(out, field.as_bytes());
        }
        put_u64(out, self.fence);
        for field in [&self.datacenter, &self.zone] {
            put_bytes(out, field.as_bytes());
        }
        put_varint(out, self.buckets.len() as u64);
        self.buckets.iter().for_each(|bucket| bucket.encode(out));
    }
}

impl Decode for Hello {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            version_newest: input.varint()?,
            version_oldest: input.varint()?,
            cluster: text(&input.bytes()?)?,
            partitions: u32::try_from(input.varint()?)
                .map_err(|_| DecodeError::Invalid("hello: partitions"))?,
            origin: Origin::decode(input)?,
            name: text(&input.bytes()?)?,
            api: text(&input.bytes()?)?,
            admin: text(&input.bytes()?)?,
            peer: text(&input.bytes()?)?,
            fence: input.u64()?,
            datacenter: text(&input.bytes()?)?,
            zone: text(&input.bytes()?)?,
            buckets: if input.remaining() == 0 { Vec::new() } else { buckets(input)? },
        })
    }
}

fn buckets(input: &mut Reader) -> Result<Vec<DeclaredBucket>, DecodeError> {
    let count = input.varint()?;
    if count > BUCKETS_MAX as u64 {
        return Err(DecodeError::Invalid("hello: more buckets than a node may declare"));
    }
    (0..count).map(|_| DeclaredBucket::decode(input)).collect()
}

#[cfg(test)]
mod tests;
