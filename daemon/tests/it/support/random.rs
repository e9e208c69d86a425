//! Random numbers from a seed that can be set, so that a failing schedule can be tried again.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// From the environment variable `SETTLE_TEST_SEED`, else from `seed`; printed, since only failures are shown.
    pub(crate) fn from_environment(seed: u64) -> Self {
        let given = std::env::var("SETTLE_TEST_SEED").ok();
        let seed = given.map_or(seed, |text| text.parse().expect("SETTLE_TEST_SEED is a number"));
        println!("SETTLE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another sequence.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
