//! A small fixed set of numbers: which of one key's writes.

/// A set of numbers below [`Bits::LEN`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bits([u64; 4]);

impl Bits {
    /// One more than the largest number.
    pub const LEN: usize = 256;

    /// Adds a number; one that is too large is left out.
    pub fn add(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether it holds `number`.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Both sets together.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// What both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// What `other` lacks.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    fn combine(mut self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = with(*word, other);
        }
        self
    }

    /// The smallest number in it.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// Its numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let low = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(index * 64 + low)
            })
        })
    }

    /// Its words, for a hash.
    #[must_use]
    pub const fn words(&self) -> &[u64; 4] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_added() {
        let mut set = Bits::default();
        for number in [0, 63, 64, 255, 256, 1000] {
            set.add(number);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert!(set.has(64) && !set.has(65) && !set.has(256));
        let mut other = Bits::default();
        other.add(64);
        other.add(1);
        assert_eq!(set.minus(other).iter().collect::<Vec<_>>(), [0, 63, 255]);
        assert_eq!((set.and(other).first(), set.or(other).iter().count()), (Some(64), 5));
    }
}
