//! Names: of a node, of one of its lives, of one write.

use std::fmt;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64, put_varint};

/// A node's identity: random, minted with its data directory, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// One life of a node: milliseconds since 1970 shifted left by 16, plus 16 random bits; fresh at every start and
/// durable before its first dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Who mints dots: a node in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub epoch: Epoch,
}

/// The name of one write in one partition. Counters start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who minted it.
    pub origin: Origin,
    /// The origin's counter in this partition.
    pub counter: u64,
}

/// Consecutive dots of one origin, as minted by one write. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DotRange {
    /// Who minted them.
    pub origin: Origin,
    /// The first counter, at least 1.
    pub first: u64,
    /// The last counter, at least `first`.
    pub last: u64,
}

impl Epoch {
    /// The epoch of a start: above the `stored` one, above any that peers report of this node, and not before the
    /// wall clock; two starts from copies of one directory differ in `random`.
    #[must_use]
    pub fn fresh(stored: Option<Self>, wall_ms: u64, random: u16) -> Self {
        let after = stored.map_or(0, |epoch| (epoch.0 >> 16) + 1);
        Self(after.max(wall_ms) << 16 | u64::from(random))
    }
}

impl Dot {
    /// The largest counter: far beyond use, and small enough that neighbours never overflow.
    pub const COUNTER_MAX: u64 = 1 << 62;
    /// The encoded size of the smallest dot, for [`Reader::count`].
    pub const ENCODED_MIN: usize = 17;
}

impl DotRange {
    /// The range that holds `dot` alone.
    #[must_use]
    pub fn single(dot: Dot) -> Self {
        Self { origin: dot.origin, first: dot.counter, last: dot.counter }
    }

    /// Whether `dot` is one of them.
    #[must_use]
    pub fn holds(self, dot: Dot) -> bool {
        dot.origin == self.origin && (self.first..=self.last).contains(&dot.counter)
    }

    /// Its dots, ascending.
    pub fn dots(self) -> impl Iterator<Item = Dot> {
        (self.first..=self.last).map(move |counter| Dot { origin: self.origin, counter })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:x}:{}", self.origin.node, self.origin.epoch.0, self.counter)
    }
}

impl Encode for Origin {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.node.0);
        put_u64(out, self.epoch.0);
    }
}

impl Decode for Origin {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { node: NodeId(input.u64()?), epoch: Epoch(input.u64()?) })
    }
}

impl Encode for Dot {
    fn encode(&self, out: &mut Vec<u8>) {
        self.origin.encode(out);
        put_varint(out, self.counter);
    }
}

impl Decode for Dot {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let origin = Origin::decode(input)?;
        match input.varint()? {
            counter @ 1..=Self::COUNTER_MAX => Ok(Self { origin, counter }),
            _ => Err(DecodeError::Invalid("dot: counters run from 1 to 2^62")),
        }
    }
}

impl Encode for DotRange {
    fn encode(&self, out: &mut Vec<u8>) {
        self.origin.encode(out);
        put_varint(out, self.first);
        put_varint(out, self.last - self.first);
    }
}

impl Decode for DotRange {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let origin = Origin::decode(input)?;
        let first = input.varint()?;
        let more = input.varint()?;
        // One write mints few dots; a bound keeps a hostile frame from naming 2^64 of them.
        if first == 0 || more >= 1 << 20 || first > Dot::COUNTER_MAX - more {
            return Err(DecodeError::Invalid("dot range"));
        }
        Ok(Self { origin, first, last: first + more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_epoch_is_above_the_stored_one_even_when_the_wall_clock_went_back() {
        let stored = Epoch::fresh(None, 5_000, 0xffff);
        assert!(Epoch::fresh(Some(stored), 1_000, 0) > stored);
        assert_eq!(Epoch::fresh(Some(stored), 9_000, 7), Epoch(9_000 << 16 | 7));
    }
}
