//! Datagrams: an envelope that tells our protocol, its version and the cluster, around one message.
//!
//! The envelope is 12 bytes: `SG`, the version, the kind of message, and the cluster's hash. A datagram is read in
//! full before anything acts on it, so half a message never changes what a node knows.

use foca::{Codec as _, Header, Member, Message, PostcardCodec};
use xxhash_rust::xxh3::xxh3_64;

use super::identity::Id;

/// The largest datagram, in bytes: what the usual path carries without splitting it.
pub(super) const DATAGRAM_BYTES_MAX: usize = 1400;

/// Bytes of the envelope.
pub(super) const ENVELOPE_BYTES: usize = 12;

/// The largest payload, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - ENVELOPE_BYTES;

/// The version of this protocol.
const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"SG";

/// What kind of message the envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// One of the membership protocol.
    Swim = 0,
    /// "I look for members": what a seed gets whose identity is not known, only its address.
    Hello = 1,
    /// The answer to [`Kind::Hello`]: who is there.
    Welcome = 2,
    /// The answer to a node that speaks in an older life than one already known.
    Newer = 3,
}

/// A cluster's name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClusterHash(u64);

/// A message from another node of the cluster.
#[derive(Debug, PartialEq)]
pub(super) enum Packet<'a> {
    /// [`Kind::Swim`], also taken apart.
    Swim { payload: &'a [u8], src: Id, about: Vec<Id> },
    /// [`Kind::Hello`] from this node.
    Hello(Id),
    /// [`Kind::Welcome`] from this node.
    Welcome(Id),
    /// [`Kind::Newer`]: the newest life that is known of the receiver.
    Newer(Id),
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is of another protocol, cut short, or wrong inside.
    Malformed,
    /// It is of another version of this protocol.
    Version(u8),
    /// It is of another cluster.
    Cluster,
}

// === impl ClusterHash ===

impl ClusterHash {
    pub(super) fn of(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }
}

// === impl Packet ===

/// The datagram of a message whose content is `payload`.
pub(super) fn sealed(cluster: ClusterHash, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(ENVELOPE_BYTES + payload.len());
    datagram.extend_from_slice(&MAGIC);
    datagram.extend_from_slice(&[VERSION, kind as u8]);
    datagram.extend_from_slice(&cluster.0.to_le_bytes());
    datagram.extend_from_slice(payload);
    datagram
}

/// The datagram of a message that tells of one identity. An identity is checked to be short, so nothing can fail but
/// the encoder itself.
pub(super) fn sealed_id(cluster: ClusterHash, kind: Kind, id: &Id) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    PostcardCodec.encode_member(&Member::alive(id.clone()), &mut payload).ok()?;
    Some(sealed(cluster, kind, &payload))
}

impl<'a> Packet<'a> {
    /// Reads a datagram in full.
    pub(super) fn read(datagram: &'a [u8], cluster: ClusterHash) -> Result<Self, Unusable> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(Unusable::Malformed);
        }
        let (envelope, payload) =
            datagram.split_first_chunk::<ENVELOPE_BYTES>().ok_or(Unusable::Malformed)?;
        let [m0, m1, version, kind, hash @ ..] = envelope;
        if [*m0, *m1] != MAGIC {
            return Err(Unusable::Malformed);
        }
        if *version != VERSION {
            return Err(Unusable::Version(*version));
        }
        if u64::from_le_bytes(*hash) != cluster.0 {
            return Err(Unusable::Cluster);
        }
        let read = match *kind {
            kind if kind == Kind::Swim as u8 => read_swim(payload),
            kind if kind == Kind::Hello as u8 => read_id(payload).map(Packet::Hello),
            kind if kind == Kind::Welcome as u8 => read_id(payload).map(Packet::Welcome),
            kind if kind == Kind::Newer as u8 => read_id(payload).map(Packet::Newer),
            _ => None,
        };
        read.ok_or(Unusable::Malformed)
    }
}

fn read_id(mut payload: &[u8]) -> Option<Id> {
    let member: Member<Id> = PostcardCodec.decode_member(&mut payload).ok()?;
    payload.is_empty().then(|| member.id().clone())
}

fn read_swim(payload: &[u8]) -> Option<Packet<'_>> {
    let mut rest = payload;
    let header: Header<Id> = PostcardCodec.decode_header(&mut rest).ok()?;
    // Nobody sends broadcasts of their own in this version.
    if header.message == Message::Broadcast {
        return None;
    }
    let mut about = Vec::new();
    if !rest.is_empty() {
        let (count, members) = rest.split_first_chunk()?;
        rest = members;
        // A wrong count ends with the bytes, before it can cost memory.
        for _ in 0..u16::from_be_bytes(*count) {
            let member: Member<Id> = PostcardCodec.decode_member(&mut rest).ok()?;
            about.push(member.id().clone());
        }
    }
    rest.is_empty().then_some(Packet::Swim { payload, src: header.src, about })
}

#[cfg(test)]
mod tests;
