//! Random numbers for loads and schedules, the same ones for the same seed.

use std::hash::{BuildHasher as _, RandomState};

/// The splitmix64 sequence: keys and pauses need no better, and it costs nothing.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A new sequence every time.
    pub(crate) fn from_entropy() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to `limit` - 1; 0 if there is nothing below `limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let high = self.next() >> 32;
        u32::try_from((high * u64::from(limit)) >> 32).unwrap_or(0)
    }
}
