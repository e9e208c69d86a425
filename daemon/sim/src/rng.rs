//! The only source of chance: xoshiro256++ (Blackman and Vigna, 2018), filled from the seed by splitmix64.

/// A stream of numbers that a seed determines on every machine.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut filler = seed;
        let state = [(); 4].map(|()| {
            filler = filler.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = filler;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.bits()) * end as u128;
        (wide >> 64) as usize
    }

    /// True in `per_mille` of 1,000 draws.
    pub fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `choices`; the type's default if there are none.
    pub fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        choices.get(self.below(choices.len())).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // From the authors' C code, with the state 1, 2, 3, 4.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        assert_eq!([(); 3].map(|()| rng.bits()), [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn draws_stay_in_range_and_reach_all_of_it() {
        let mut rng = Rng::new(7);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[rng.below(5)] = true;
        }
        assert_eq!((seen, rng.below(0), rng.pick::<u8>(&[])), ([true; 5], 0, 0));
        assert!(!rng.chance(0) && rng.chance(1000));
    }
}
