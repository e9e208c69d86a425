//! Everything known about one peer: canaries under watch, debts, and when to read which slot next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::pace::GAP_MAX;
use super::{Canary, Owed, Pace, Read, Regressed, Seq, Slot, Visibility, Watch};

/// The books on one peer.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    watches: BTreeMap<Seq, Watch>,
    owed: Owed,
    pace: Pace,
    /// Whether an acknowledged canary was ever looked for here; before that the lag is unknown.
    measured: bool,
    /// When a slot was last read whose canary is no longer under watch.
    asked_for_debt: Option<Instant>,
}

/// How one canary ended at one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The peer showed it.
    Converged(Visibility),
    /// The peer answered, but did not show it by the deadline.
    Expired,
    /// The peer answered no read at all by the deadline.
    Unreachable,
}

/// A canary whose watch is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Which one.
    pub seq: Seq,
    /// How it ended.
    pub outcome: Outcome,
}

// === impl Ledger ===

impl Ledger {
    /// A canary's write is about to be sent, and this peer is one of those it is looked for at.
    pub fn begin(&mut self, canary: Canary) {
        self.watches.insert(canary.seq, Watch::new(canary));
    }

    /// The write was acknowledged: from now on the peer owes it. False when the canary is not
    /// looked for here.
    ///
    /// The watch goes on until the verdict read is over, see [`Ledger::verdict_over`].
    pub fn acknowledge(&mut self, seq: Seq) -> bool {
        let Some(watch) = self.watches.get_mut(&seq) else { return false };
        watch.acked = true;
        watch.verdict_pending = true;
        self.owed.acknowledge(watch.canary());
        self.measured = true;
        true
    }

    /// The write was refused, or nobody knows; true when the canary was under watch here.
    pub fn abort(&mut self, seq: Seq) -> bool {
        self.watches.remove(&seq).is_some()
    }

    /// The verdict read of this canary was made, or will not be.
    pub fn verdict_over(&mut self, seq: Seq) {
        if let Some(watch) = self.watches.get_mut(&seq) {
            watch.verdict_pending = false;
        }
    }

    /// A read of `slot` begins at `at`.
    pub fn asked(&mut self, slot: Slot, at: Instant) {
        let mut watched = false;
        for watch in self.watches.values_mut().filter(|watch| watch.canary().slot == slot) {
            watch.asked = Some(at);
            watched |= !watch.is_shown();
        }
        if !watched {
            self.asked_for_debt = Some(at);
        }
    }

    /// Takes in an answered read; says when it contradicts an earlier one.
    pub fn observe(&mut self, read: &Read) -> Option<Regressed> {
        for watch in self.watches.values_mut().filter(|watch| watch.canary().slot == read.slot) {
            let shown_before = watch.is_shown();
            watch.observe(read);
            if let Some(visibility) = watch.visibility().filter(|_| !shown_before) {
                self.pace.learn(visibility.high);
                // What else was missing has probably arrived as well.
                self.asked_for_debt = None;
            }
        }
        let before = self.owed.oldest();
        let regressed = self.owed.observe(read);
        if self.owed.oldest() != before {
            self.asked_for_debt = None;
        }
        regressed
    }

    /// Ends the watches that are settled, or past `deadline` since their canary's start.
    pub fn settle(&mut self, now: Instant, deadline: Duration) -> Vec<Settled> {
        let mut settled = Vec::new();
        self.watches.retain(|&seq, watch| {
            let late = now.saturating_duration_since(watch.canary().start) >= deadline;
            // What was shown later than the deadline counts as if it had not been, whoever looks first.
            let visibility = watch.visibility().filter(|visibility| visibility.high <= deadline);
            let outcome = match visibility {
                _ if !watch.acked => None,
                Some(visibility) if late || !watch.verdict_pending => Some(Outcome::Converged(visibility)),
                None if late && watch.answered => Some(Outcome::Expired),
                None if late => Some(Outcome::Unreachable),
                _ => None,
            };
            settled.extend(outcome.map(|outcome| Settled { seq, outcome }));
            outcome.is_none()
        });
        settled
    }

    /// The age of the oldest acknowledged canary that this peer has not been seen to reflect, zero
    /// when there is none; nothing before the first acknowledged canary.
    pub fn lag(&self, now: Instant) -> Option<Duration> {
        self.measured.then(|| self.owed.lag(now))
    }

    /// Whether anything is awaited from this peer. Such a peer is never left out of a cycle.
    pub fn is_behind(&self) -> bool {
        self.owed.oldest().is_some()
    }

    /// Whether the peer still owes something in `slot`, or it is under watch.
    pub fn needs(&self, slot: Slot) -> bool {
        self.owed.slots().any(|owed| owed == slot)
            || self.watches.values().any(|watch| watch.canary().slot == slot)
    }

    /// The slot to read next and when, if anything is awaited.
    pub fn next_read(&self) -> Option<(Instant, Slot)> {
        let mut open = self.watches.values().filter(|watch| !watch.is_shown());
        let first = open.next().map(|watch| self.due(watch, true));
        let others = open.map(|watch| self.due(watch, false));
        first.into_iter().chain(others).chain(self.debt_due()).min()
    }

    /// The peer no longer holds the keys of these slots: nothing is awaited there any more. Returns the canaries that
    /// were under watch.
    pub fn release(&mut self, slots: impl Fn(Slot) -> bool) -> Vec<Seq> {
        self.owed.release(&slots);
        self.watches.extract_if(.., |_, watch| slots(watch.canary().slot)).map(|(seq, _)| seq).collect()
    }

    /// See [`Owed::forget_seen`].
    pub fn forget_seen(&mut self) {
        self.owed.forget_seen();
    }

    fn due(&self, watch: &Watch, first: bool) -> (Instant, Slot) {
        let Canary { start, slot, .. } = *watch.canary();
        let gap = |asked: Instant| asked + self.pace.gap(asked.saturating_duration_since(start), first);
        (watch.asked.map_or(start, gap), slot)
    }

    /// Debts outlive their watch. They are read at a modest rate, so that a recovery is seen soon.
    fn debt_due(&self) -> Option<(Instant, Slot)> {
        let watched = |slot: &Slot| {
            self.watches.values().any(|watch| watch.canary().slot == *slot && !watch.is_shown())
        };
        let (slot, since) = self.owed.oldest_but(watched)?;
        Some((self.asked_for_debt.map_or(since, |asked| asked + GAP_MAX), slot))
    }
}
