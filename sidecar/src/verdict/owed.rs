//! What one peer still owes: the acknowledged canaries that it has not been seen to reflect.
//!
//! Only a read that shows a canary, or a newer one in its slot, takes a debt away. Expiry, an
//! unreachable peer, a refused canary and an overwritten slot do not.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Canary, Read, Seen, Seq, Slot};

/// Debts remembered per slot. A peer that is away for long owes one more with every lap of the ring;
/// beyond this the newest are merged into one as old as the oldest of them, which may overstate the
/// lag while the peer catches up and never understates it.
const DEBTS_MAX: usize = 32;

/// The debts of one peer.
#[derive(Debug, Clone, Default)]
pub struct Owed {
    slots: BTreeMap<Slot, SlotDebts>,
}

#[derive(Debug, Clone, Default)]
struct SlotDebts {
    /// The newest canary seen here, and the end of the first read that showed it.
    seen: Option<(Seq, Instant)>,
    /// The last canary acknowledged in this slot.
    acked: Option<Debt>,
    /// Oldest first, numbers rising.
    debts: VecDeque<Debt>,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    /// The canary that pays it, or any newer one.
    seq: Seq,
    /// The start of the oldest canary that it stands for.
    since: Instant,
}

/// An old value after a newer one had been seen: reads at this peer are not monotonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regressed {
    /// Where.
    pub slot: Slot,
    /// The newest canary that had been seen there.
    pub newest: Seq,
    /// What was read afterwards.
    pub found: Seen,
}

// === impl Owed ===

impl Owed {
    /// A canary was acknowledged; the peer owes it unless it has been seen already.
    pub fn acknowledge(&mut self, canary: &Canary) {
        let slot = self.slots.entry(canary.slot).or_default();
        let debt = Debt { seq: canary.seq, since: canary.start };
        slot.acked = Some(debt);
        if slot.seen.is_none_or(|(seen, _)| seen < canary.seq) {
            slot.owe(debt);
        }
    }

    /// Takes in an answered read; says when it contradicts an earlier one.
    pub fn observe(&mut self, read: &Read) -> Option<Regressed> {
        let slot = self.slots.entry(read.slot).or_default();
        if let Seen::Canary(seq) = read.seen
            && slot.seen.is_none_or(|(newest, _)| newest < seq)
        {
            slot.seen = Some((seq, read.end));
            slot.debts.retain(|debt| debt.seq > seq);
            return None;
        }
        let (newest, shown) = slot.seen?;
        // Of reads that overlap, nobody knows which was answered first. A value of someone else may
        // be newer than ours, so it proves nothing.
        if read.seen.reflects(newest) || read.seen == Seen::Foreign || read.start < shown {
            return None;
        }
        slot.seen = match read.seen {
            Seen::Canary(seq) => Some((seq, read.end)),
            Seen::Absent | Seen::Foreign => None,
        };
        let owes = |acked: &Debt| slot.debts.back().is_some_and(|newest| newest.seq >= acked.seq);
        if let Some(acked) = slot.acked.filter(|acked| !read.seen.reflects(acked.seq) && !owes(acked)) {
            slot.owe(acked);
        }
        Some(Regressed { slot: read.slot, newest, found: read.seen })
    }

    /// The age of the oldest debt, zero when nothing is owed.
    pub fn lag(&self, now: Instant) -> Duration {
        self.oldest().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since))
    }

    /// The slot with the oldest debt, and since when.
    pub fn oldest(&self) -> Option<(Slot, Instant)> {
        self.oldest_but(|_| false)
    }

    /// As [`Owed::oldest`], among the slots that are not `left_out`.
    pub fn oldest_but(&self, left_out: impl Fn(&Slot) -> bool) -> Option<(Slot, Instant)> {
        let first = |(slot, debts): (&Slot, &SlotDebts)| Some((*slot, debts.debts.front()?.since));
        let candidates = self.slots.iter().filter(|(slot, _)| !left_out(slot));
        candidates.filter_map(first).min_by_key(|(_, since)| *since)
    }

    /// Slots with a debt.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.iter().filter(|(_, debts)| !debts.debts.is_empty()).map(|(slot, _)| *slot)
    }

    /// Forgets all about these slots: the peer no longer holds their keys.
    pub fn release(&mut self, slots: impl Fn(Slot) -> bool) {
        self.slots.retain(|slot, _| !slots(*slot));
    }

    /// Forgets what was seen, not what is owed. For when somebody else may rightly have deleted the
    /// values: finding them gone is then no contradiction.
    pub fn forget_seen(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.seen = None);
    }
}

// === impl SlotDebts ===

impl SlotDebts {
    fn owe(&mut self, debt: Debt) {
        let full = self.debts.len() >= DEBTS_MAX;
        match self.debts.back_mut() {
            Some(newest) if full => newest.seq = debt.seq,
            _ => self.debts.push_back(debt),
        }
    }
}
