//! What a key holds, and how two copies of it merge.

use bytes::Bytes;

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_u64, put_varint};
use crate::dot::Dot;
use crate::hlc::Hlc;

/// One written value. The kernel compares payloads for equality and looks at nothing else inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it was written, by its coordinator's hybrid clock.
    pub stamp: Hlc,
    /// What the value's type makes of it.
    pub payload: Bytes,
}

/// What a key holds: the versions that nothing has superseded, and which dots are known to be superseded or seen.
///
/// # Laws
/// For entries `a`, `b`, `c` of one key, [`merge`] under their own contexts is
/// - commutative: `merge(a, b) = merge(b, a)`,
/// - associative: `merge(merge(a, b), c) = merge(a, merge(b, c))`,
/// - idempotent: `merge(a, a) = a`,
///
/// so deltas may arrive in any order and any number of times. They presuppose that an entry's context covers its own
/// siblings' dots. A replica's context for a key is its whole partition clock joined with the entry's explicit
/// context; only the explicit part that the clock does not cover is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Versions by dot, ascending.
    pub siblings: Vec<(Dot, Version)>,
    /// The explicit context.
    pub context: Clock,
}

/// The context of one side of a merge: the union of two clocks, so that a replica's whole clock need not be copied.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The explicit context.
    pub explicit: &'a Clock,
    /// The partition's clock, or whatever else is implied.
    pub implied: &'a Clock,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The surviving siblings.
    pub siblings: Vec<(Dot, Version)>,
    /// Whether they differ from the first side's.
    pub changed: bool,
    /// Pairs of a version that is new to the first side and one that survives beside it with another payload:
    /// conflicts, if the type is a register.
    pub concurrent: u64,
}

impl Entry {
    /// Whether nothing needs to be stored for it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.siblings.is_empty() && self.context.is_empty()
    }

    /// The dots of its siblings.
    pub fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.siblings.iter().map(|(dot, _)| *dot)
    }

    /// The highest stamp among its siblings.
    #[must_use]
    pub fn stamp_max(&self) -> Hlc {
        self.siblings.iter().map(|(_, version)| version.stamp).max().unwrap_or_default()
    }

    fn sibling(&self, dot: Dot) -> Option<&Version> {
        let index = self.siblings.binary_search_by_key(&dot, |(dot, _)| *dot).ok()?;
        self.siblings.get(index).map(|(_, version)| version)
    }

    /// Adds a sibling, keeping their order.
    pub fn insert(&mut self, dot: Dot, version: Version) {
        match self.siblings.binary_search_by_key(&dot, |(dot, _)| *dot) {
            Ok(_) => {}
            Err(index) => self.siblings.insert(index, (dot, version)),
        }
    }
}

impl Context<'_> {
    /// Whether the context covers `dot`.
    #[must_use]
    pub fn has(&self, dot: Dot) -> bool {
        self.implied.has(dot) || self.explicit.has(dot)
    }
}

/// Merges the siblings of two entries of one key: keeps a sibling that both have, and one that only one side has if
/// the other side's context does not cover its dot. The context of the result is the union of both.
#[must_use]
pub fn merge(mine: &Entry, my_context: Context<'_>, theirs: &Entry, their_context: Context<'_>) -> Merged {
    let mut siblings = Vec::with_capacity(mine.siblings.len() + theirs.siblings.len());
    let kept =
        mine.siblings.iter().filter(|(dot, _)| theirs.sibling(*dot).is_some() || !their_context.has(*dot));
    siblings.extend(kept.cloned());
    let kept_count = siblings.len();
    let new = theirs.siblings.iter().filter(|(dot, _)| mine.sibling(*dot).is_none() && !my_context.has(*dot));
    siblings.extend(new.cloned());
    let (old, new) = siblings.split_at(kept_count);
    let concurrent = concurrent_pairs(old, new);
    let changed = kept_count != mine.siblings.len() || !new.is_empty();
    siblings.sort_by_key(|(dot, _)| *dot);
    Merged { siblings, changed, concurrent }
}

fn concurrent_pairs(old: &[(Dot, Version)], new: &[(Dot, Version)]) -> u64 {
    let differs = |a: &Version, b: &Version| u64::from(a.payload != b.payload);
    let mut pairs = 0;
    for (index, (_, version)) in new.iter().enumerate() {
        let earlier = new.iter().take(index).chain(old);
        pairs += earlier.map(|(_, other)| differs(version, other)).sum::<u64>();
    }
    pairs
}

/// The format of a stored or sent entry.
const ENTRY_VERSION: u8 = 1;

impl Encode for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        let payloads: usize = self.siblings.iter().map(|(_, version)| version.payload.len() + 48).sum();
        out.reserve(payloads + 64);
        out.push(ENTRY_VERSION);
        put_varint(out, self.siblings.len() as u64);
        for (dot, version) in &self.siblings {
            dot.encode(out);
            put_u64(out, version.stamp.0);
            put_bytes(out, &version.payload);
        }
        self.context.encode(out);
    }
}

impl Decode for Entry {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        input.version("entry", ENTRY_VERSION)?;
        let count = input.count(Dot::ENCODED_MIN + 9)?;
        let mut siblings: Vec<(Dot, Version)> = Vec::with_capacity(count);
        for _ in 0..count {
            let dot = Dot::decode(input)?;
            if siblings.last().is_some_and(|(last, _)| *last >= dot) {
                return Err(DecodeError::Invalid("entry: siblings out of order"));
            }
            let version = Version { stamp: Hlc(input.u64()?), payload: input.bytes()? };
            siblings.push((dot, version));
        }
        Ok(Self { siblings, context: Clock::decode(input)? })
    }
}

#[cfg(test)]
mod tests;
