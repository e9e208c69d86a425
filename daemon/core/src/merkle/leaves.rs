//! Sets of leaves.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_u64};

use super::{DEPTH_MAX, FANOUT_BITS, width};

/// Leaves of one word.
const WORD: u32 = u64::BITS;

/// A set of leaves of trees of one depth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    depth: u8,
    /// One bit for each leaf.
    words: Vec<u64>,
}

impl Leaves {
    /// No leaf of trees of this depth, which must be one that trees can have.
    #[must_use]
    pub fn none(depth: u8) -> Self {
        let depth = depth.clamp(1, DEPTH_MAX);
        Self { depth, words: vec![0; words(depth)] }
    }

    /// All of them.
    #[must_use]
    pub fn all(depth: u8) -> Self {
        let mut all = Self::none(depth);
        all.insert_below(0, 0);
        all
    }

    /// The depth of the trees.
    #[must_use]
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// Adds a leaf; one that no tree of this depth has is ignored.
    pub fn insert(&mut self, leaf: u32) {
        if let Some(word) = self.words.get_mut((leaf / WORD) as usize) {
            *word |= 1 << (leaf % WORD);
        }
    }

    /// Adds all leaves at or below a node.
    pub fn insert_below(&mut self, level: u8, index: u32) {
        let below = 1 << (FANOUT_BITS * u32::from(self.depth.saturating_sub(level)));
        let first = index.saturating_mul(below);
        (first..first.saturating_add(below)).for_each(|leaf| self.insert(leaf));
    }

    /// Whether a leaf is in it.
    #[must_use]
    pub fn has(&self, leaf: u32) -> bool {
        self.words.get((leaf / WORD) as usize).is_some_and(|word| word >> (leaf % WORD) & 1 == 1)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Takes out the leaves of `other`, a set for trees of the same depth.
    pub fn remove_all(&mut self, other: &Self) {
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word &= !theirs;
        }
    }
}

const fn words(depth: u8) -> usize {
    width(depth).div_ceil(WORD) as usize
}

impl FromIterator<u32> for Leaves {
    /// Of trees of the depth that replicas use.
    fn from_iter<I: IntoIterator<Item = u32>>(leaves: I) -> Self {
        let mut set = Self::none(super::DEPTH);
        leaves.into_iter().for_each(|leaf| set.insert(leaf));
        set
    }
}

impl Encode for Leaves {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.depth);
        self.words.iter().for_each(|word| put_u64(out, *word));
    }
}

impl Decode for Leaves {
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let depth = input.u8()?;
        if !(1..=DEPTH_MAX).contains(&depth) {
            return Err(DecodeError::Invalid("hash tree: depth"));
        }
        let mut leaves = Self { depth, words: Vec::new() };
        for _ in 0..words(depth) {
            leaves.words.push(input.u64()?);
        }
        // A tree of depth 1 has fewer leaves than a word has bits.
        if depth == 1 && leaves.words.iter().any(|word| *word >= 1 << super::FANOUT) {
            return Err(DecodeError::Invalid("hash tree: leaf"));
        }
        Ok(leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_comes_back_from_its_bytes() {
        for depth in 1..=DEPTH_MAX {
            let mut set = Leaves::none(depth);
            assert!(set.is_empty() && !set.has(0));
            set.insert(3);
            set.insert(width(depth) - 1);
            set.insert(width(depth) + 64);
            set.insert_below(1, 1);
            let below = 1 << (FANOUT_BITS * (u32::from(depth) - 1));
            let expected =
                |leaf: u32| leaf == 3 || leaf == width(depth) - 1 || (below..2 * below).contains(&leaf);
            assert!((0..width(depth) + 100).all(|leaf| set.has(leaf) == expected(leaf)), "depth {depth}");
            assert_eq!(Leaves::from_bytes(set.to_bytes()), Ok(set.clone()));
            let mut rest = Leaves::all(depth);
            rest.remove_all(&set);
            assert!((0..width(depth)).all(|leaf| rest.has(leaf) != expected(leaf)));
        }
    }

    #[test]
    fn sets_for_trees_that_there_are_not_are_refused() {
        let encoded = Leaves::all(1).to_bytes();
        for depth in [0, DEPTH_MAX + 1] {
            let mut bytes = encoded.to_vec();
            bytes[0] = depth;
            assert!(Leaves::from_bytes(bytes.into()).is_err());
        }
        let mut bytes = encoded.to_vec();
        bytes[8] = 1;
        assert!(Leaves::from_bytes(bytes.into()).is_err());
    }
}
