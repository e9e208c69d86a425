//! Whether two replicas agree on a key, told by one short question and, mostly, one short answer.
//!
//! A read at several replicas asks each of them whether it holds what the asking replica holds. Two replicas agree when
//! they show the same siblings and neither has seen a write of the key that the other has not. What else their clocks
//! hold is other keys' and does not matter; under load it always differs.
//!
//! The same siblings alone are not agreement. One replica has seen a put and its delete, another neither: both show
//! nothing. A third has missed the delete and shows the put. A read at the first two shows nothing, and if they were
//! left as they are, one at the last two would then show what the first one has seen deleted.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::clock::Clock;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64};
use crate::dot::Dot;
use crate::entry::Entry;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError};

use super::Partition;

/// What a replica holds of a key, durable and of one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The siblings and the explicit context.
    pub entry: Entry,
    /// The partition's clock: the rest of the context.
    pub clock: Clock,
}

/// What the asking replica holds of a key, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Have {
    /// Stands for the siblings' dots, and so for their payloads.
    pub siblings: u128,
    /// All that it has seen: clock and explicit context.
    pub known: Clock,
}

/// What another replica says to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// It shows the same, and has seen no write of the key that the asking replica has not.
    Same {
        /// All that it has seen: clock and explicit context.
        known: Clock,
    },
    /// It does not.
    Differs {
        /// What it holds.
        held: Held,
        /// Whether it has, or may have, seen writes of the key that the asking replica has not.
        news: bool,
    },
}

impl Held {
    /// All that is known to be shown or superseded: clock and explicit context.
    #[must_use]
    pub fn known(&self) -> Clock {
        let mut known = self.clock.clone();
        known.join(&self.entry.context);
        known
    }
}

impl Have {
    /// What a replica has that has seen `known` and shows the siblings of `entry`.
    #[must_use]
    pub fn of(entry: &Entry, known: Clock) -> Self {
        Self { siblings: digest(entry.dots()), known }
    }
}

impl Partition {
    /// What is held of a key.
    ///
    /// # Errors
    /// [`StorageError`] when the row cannot be read or decoded.
    pub fn held(&self, rows: &dyn Rows, key: &Key) -> Result<Held, StorageError> {
        Ok(Held { entry: self.read(rows, key)?, clock: self.durable.clone() })
    }

    /// What to say to a replica that has `theirs` of a key.
    ///
    /// # Errors
    /// [`StorageError`] when the row cannot be read or decoded.
    pub fn compare(&self, rows: &dyn Rows, key: &Key, theirs: &Have) -> Result<Compared, StorageError> {
        let entry = self.read(rows, key)?;
        let mut known = self.durable.clone();
        known.join(&entry.context);
        let news = self.may_concern(known.minus(&theirs.known), key);
        if !news && digest(entry.dots()) == theirs.siblings {
            return Ok(Compared::Same { known });
        }
        Ok(Compared::Differs { held: Held { entry, clock: self.durable.clone() }, news })
    }

    /// Whether some of `dots` may name writes of `key`, as far as this replica can tell without reading anything.
    #[must_use]
    pub fn may_concern(&self, dots: Clock, key: &Key) -> bool {
        !planted(Plant::SameSiblingsAgree) && !dots.is_empty() && !self.log.of_key(dots, key).is_empty()
    }
}

/// Stands for some dots, given ascending. Nodes choose dots, not clients, so no secret is needed.
fn digest(dots: impl Iterator<Item = Dot>) -> u128 {
    let mut hasher = SipHasher24::new();
    for Dot { origin, counter } in dots {
        hasher.write_u64(origin.node.0.to_le());
        hasher.write_u64(origin.epoch.0.to_le());
        hasher.write_u64(counter.to_le());
    }
    hasher.finish128().as_u128()
}

impl Encode for Held {
    fn encode(&self, out: &mut Vec<u8>) {
        self.entry.encode(out);
        self.clock.encode(out);
    }
}

impl Decode for Held {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { entry: Entry::decode(input)?, clock: Clock::decode(input)? })
    }
}

impl Encode for Compared {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Same { known } => {
                out.push(0);
                known.encode(out);
            }
            Self::Differs { held, news } => {
                out.push(if *news { 2 } else { 1 });
                held.encode(out);
            }
        }
    }
}

impl Decode for Compared {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Ok(Self::Same { known: Clock::decode(input)? }),
            kind @ 1..=2 => Ok(Self::Differs { held: Held::decode(input)?, news: kind == 2 }),
            _ => Err(DecodeError::Invalid("compared: kind")),
        }
    }
}

impl Encode for Have {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, (self.siblings >> 64) as u64);
        put_u64(out, self.siblings as u64);
        self.known.encode(out);
    }
}

impl Decode for Have {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let siblings = u128::from(input.u64()?) << 64 | u128::from(input.u64()?);
        Ok(Self { siblings, known: Clock::decode(input)? })
    }
}
