//! The sets of replicas in which a level must be met: one, and while a layout changes two, the old and the new.

/// In which of a partition's sets a node is, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sets(u8);

/// A number for each set: of nodes that are needed, or that have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PerSet(pub(crate) [usize; 2]);

impl Sets {
    /// In neither.
    pub(crate) const NEITHER: Self = Self(0);

    /// In the first one, in the second one.
    pub(crate) const fn of(first: bool, second: bool) -> Self {
        Self(if first { 1 } else { 0 } | if second { 2 } else { 0 })
    }

    /// Whether it is in none.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is in one of those.
    pub(crate) const fn is_in_one_of(self, those: Self) -> bool {
        self.0 & those.0 != 0
    }

    /// Whether it is in all of those.
    pub(crate) const fn is_in_all_of(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }

    /// 1 for each set that it is in.
    const fn ones(self) -> [usize; 2] {
        [(self.0 & 1) as usize, (self.0 >> 1) as usize]
    }
}

impl PerSet {
    /// Counts a node.
    pub(crate) fn add(&mut self, sets: Sets) {
        let [first, second] = sets.ones();
        self.0 = [self.0[0] + first, self.0[1] + second];
    }

    /// Counts a node no more.
    pub(crate) fn remove(&mut self, sets: Sets) {
        let [first, second] = sets.ones();
        self.0 = [self.0[0].saturating_sub(first), self.0[1].saturating_sub(second)];
    }

    /// The sets in which there are fewer than `needed`.
    pub(crate) const fn lacking(self, needed: Self) -> Sets {
        Sets::of(self.0[0] < needed.0[0], self.0[1] < needed.0[1])
    }

    /// Of the set that lacks most: how many there are, and how many are needed.
    pub(crate) const fn worst(self, needed: Self) -> (usize, usize) {
        let ([first, second], [of_first, of_second]) = (self.0, needed.0);
        if of_second.saturating_sub(second) > of_first.saturating_sub(first) {
            (second, of_second)
        } else {
            (first, of_first)
        }
    }
}

impl FromIterator<Sets> for PerSet {
    fn from_iter<I: IntoIterator<Item = Sets>>(nodes: I) -> Self {
        let mut counted = Self::default();
        nodes.into_iter().for_each(|sets| counted.add(sets));
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_met_when_it_is_met_in_both_sets() {
        let (old, new, both) = (Sets::of(true, false), Sets::of(false, true), Sets::of(true, true));
        let needed = PerSet([2, 2]);
        let counted = |nodes: &[Sets]| nodes.iter().copied().collect::<PerSet>();
        assert!(counted(&[both, both]).lacking(needed).is_empty());
        assert_eq!(counted(&[both, old, old]).lacking(needed), new);
        assert_eq!(counted(&[both, old, old]).worst(needed), (1, 2));
        assert!(counted(&[old, old, new, new]).lacking(needed).is_empty());
        assert_eq!(counted(&[old, new]).worst(needed), (1, 2));
        assert_eq!(counted(&[old]).lacking(PerSet([1, 0])), Sets::NEITHER);
        let mut failed = counted(&[both, both]);
        failed.remove(both);
        assert_eq!((failed.lacking(needed), failed.worst(needed)), (both, (1, 2)));
    }
}
