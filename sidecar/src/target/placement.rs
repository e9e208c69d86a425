//! Which replicas hold which canary keys. In a cluster with more nodes than replicas of a key, canaries are written
//! under keys that the own replica holds, and looked for at the others that hold them.

use std::collections::{BTreeMap, BTreeSet};

use crate::verdict::Slot;

/// Where the keys of a ring lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The slots of the ring, ascending: those whose keys the own replica holds, as many as are wanted if there are.
    pub(crate) slots: Vec<Slot>,
    /// Who holds the key of each slot that was asked for; nothing when every replica holds every key.
    holders: Option<Holders>,
}

/// The names of those that hold the key of a slot.
pub(crate) type Holders = BTreeMap<Slot, BTreeSet<String>>;

impl Placement {
    /// Every replica holds every key.
    pub(crate) fn everywhere(wanted: u32) -> Self {
        Self { slots: (0..wanted).collect(), holders: None }
    }

    /// The first slots that `own` holds.
    pub(crate) fn among(holders: Holders, own: &str, wanted: u32) -> Self {
        let held = holders.iter().filter(|(_, names)| names.contains(own)).map(|(slot, _)| *slot);
        let slots = held.take(usize::try_from(wanted).unwrap_or(usize::MAX)).collect();
        Self { slots, holders: Some(holders) }
    }

    /// Whether a replica holds the key of a slot.
    pub(crate) fn holds(&self, name: &str, slot: Slot) -> bool {
        let held = |holders: &Holders| holders.get(&slot).is_some_and(|names| names.contains(name));
        self.holders.as_ref().is_none_or(held)
    }

    /// A slot of the ring whose key a replica holds.
    pub(crate) fn shared_with(&self, name: &str) -> Option<Slot> {
        self.slots.iter().copied().find(|slot| self.holds(name, *slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_has_the_keys_of_the_own_replica_and_peers_those_that_they_share() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let lists = [&["a", "b"][..], &["b", "c"], &["a", "c"], &["c", "d"], &["a", "b"]];
        let holders: Holders = (0..).zip(lists).map(|(slot, list)| (slot, names(list))).collect();
        let placement = Placement::among(holders.clone(), "a", 2);
        assert_eq!(placement.slots, [0, 2]);
        assert_eq!(["b", "c", "d"].map(|name| placement.shared_with(name)), [Some(0), Some(2), None]);
        assert!(!placement.holds("b", 2) && !placement.holds("a", 9));
        assert_eq!(Placement::among(holders, "e", 2).slots, [0; 0]);
        let everywhere = Placement::everywhere(3);
        assert_eq!((everywhere.slots.len(), everywhere.shared_with("x")), (3, Some(0)));
    }
}
