//! The receiver's side of a full exchange: merging what was answered, and joining the first clock when all is merged.

use crate::clock::Clock;
use crate::entry::Entry;
use crate::key::Key;
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError};

use super::super::apply::Applied;
use super::super::exchange::{LogAnswer, MergedKey, PageLimits};
use super::super::{Partition, Transaction};
use super::pull::Step;
use super::{Filled, FullPage, FullPart, FullRequest, Progress};

/// Merged entries, and the clock under which they came.
#[derive(Debug, Default)]
struct Taken {
    changes: Vec<MergedKey>,
    clock: Clock,
}

/// What is to be done after an answer.
enum Then {
    Ask(FullRequest),
    List(Option<Key>),
    Conclude,
    GiveUp,
}

impl Partition {
    /// Merges what the sender answered; after the last step the clock joins the first one.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read; nothing is staged then, and the exchange is given up.
    pub fn take_full(
        &mut self,
        transaction: &mut Transaction<'_>,
        page: &FullPage,
        limits: PageLimits,
    ) -> Result<(Applied, Progress), StorageError> {
        let mut applied = Applied { ticket: self.ticket, ..Applied::default() };
        let Some(pull) = self.pull.as_mut().filter(|pull| pull.asked == page.asked) else {
            return Ok((applied, Progress::Stray));
        };
        let (source, first) = pull.first.get_or_insert_with(|| (page.source, page.clock.clone()));
        let continues = if planted(Plant::ExchangeOutlivesSource) {
            source.node == page.source.node
        } else {
            *source == page.source && page.clock.covers(first)
        };
        let aged = planted(Plant::PageContextOlderThanEntry);
        let clock = if aged { first.clone() } else { page.clock.clone() };
        let taken = Taken { changes: Vec::new(), clock };
        let done = if continues {
            self.take_part(transaction, page, taken, limits, &mut applied)
        } else {
            Ok(Progress::Aborted)
        };
        if !matches!(done, Ok(Progress::Next(_))) {
            self.pull = None;
        }
        done.map(|progress| (applied, progress))
    }

    fn take_part(
        &mut self,
        transaction: &mut Transaction<'_>,
        page: &FullPage,
        mut taken: Taken,
        limits: PageLimits,
        applied: &mut Applied,
    ) -> Result<Progress, StorageError> {
        // Merged before anything is remembered of the page: what is remembered would count as merged already.
        if let FullPart::Listed { entries, .. } | FullPart::Keys(entries) = &page.part {
            taken.changes = self.merge_all(transaction.rows, entries, &taken.clock, applied)?;
        }
        match self.take_note(transaction, page, applied)? {
            Then::Ask(request) => Ok(Progress::Next(request)),
            Then::List(after) => {
                // Asked before anything is staged: an error after that would leave a change that no batch carries. What
                // is staged now counts as touched if the page is asked for again.
                let request = self.ask_list(transaction.rows, after, limits)?;
                self.stage_taken(transaction, taken, &Clock::new(), applied);
                Ok(Progress::Next(request))
            }
            Then::Conclude => Ok(self.conclude(transaction, taken, applied, limits)),
            Then::GiveUp => Ok(Progress::Aborted),
        }
    }

    /// Remembers what an answer says.
    fn take_note(
        &mut self,
        transaction: &mut Transaction<'_>,
        page: &FullPage,
        applied: &mut Applied,
    ) -> Result<Then, StorageError> {
        let tree = self.pending_tree();
        let Some(pull) = &mut self.pull else { return Ok(Then::GiveUp) };
        match (&page.part, &pull.step) {
            (FullPart::Compared(compared), Step::Compare(_)) => {
                let next = pull.compared(compared.as_ref().ok(), tree.as_ref(), &page.clock);
                let differs = !pull.differing.is_empty();
                Ok(match next {
                    Some(question) => Then::Ask(self.ask_compare(question)),
                    None if differs => Then::List(None),
                    None => Then::Conclude,
                })
            }
            (FullPart::Listed { until, entries }, Step::List(..)) => {
                let next = pull.listed(until.as_ref(), entries, &page.clock);
                Ok(next.map_or(Then::Conclude, Then::List))
            }
            (FullPart::Keys(entries), Step::Keys) => {
                for (key, _) in entries {
                    pull.open.remove(key);
                }
                Ok(Then::Conclude)
            }
            (FullPart::Rest(LogAnswer::Page(log)), Step::Rest) => {
                *applied = self.take_log(transaction, log)?;
                Ok(Then::Conclude)
            }
            // The log cannot name what came up meanwhile, or this is no answer to the question.
            _ => Ok(Then::GiveUp),
        }
    }

    /// Every leaf was compared or listed: asks for what is left, or joins the first clock.
    fn conclude(
        &mut self,
        transaction: &mut Transaction<'_>,
        taken: Taken,
        applied: &mut Applied,
        limits: PageLimits,
    ) -> Progress {
        let Some((_, first)) = self.pull.as_ref().and_then(|pull| pull.first.clone()) else {
            return Progress::Aborted;
        };
        let open = self.open_keys(limits);
        if !open.is_empty() {
            self.stage_taken(transaction, taken, &Clock::new(), applied);
            return Progress::Next(self.ask_keys(open));
        }
        let mut joined = self.clock.clone();
        joined.join(&first);
        joined.extend(taken.changes.iter().flat_map(MergedKey::dots));
        let remembered = self.pull.as_ref().map(|pull| pull.remembered.clone()).unwrap_or_default();
        let at_end = planted(Plant::ExchangeClockTakenAtItsEnd);
        if !joined.covers(&remembered) && !at_end && !planted(Plant::JoinedBeforeTheRest) {
            self.stage_taken(transaction, taken, &Clock::new(), applied);
            return Progress::Next(self.ask_rest(joined));
        }
        self.stage_taken(transaction, taken, if at_end { &remembered } else { &first }, applied);
        self.checkpoint(transaction);
        Progress::Done
    }

    /// The first of the keys that must be fetched one by one.
    fn open_keys(&self, limits: PageLimits) -> Vec<Key> {
        Filled::fitting(self.pull.iter().flat_map(|pull| &pull.open), limits)
    }

    fn merge_all(
        &self,
        rows: &dyn Rows,
        entries: &[(Key, Entry)],
        clock: &Clock,
        applied: &mut Applied,
    ) -> Result<Vec<MergedKey>, StorageError> {
        entries.iter().map(|(key, entry)| self.merged(rows, key, entry, clock, applied)).collect()
    }

    /// Stages merged entries, and the clock that is joined with them.
    fn stage_taken(
        &mut self,
        transaction: &mut Transaction<'_>,
        taken: Taken,
        join: &Clock,
        applied: &mut Applied,
    ) {
        applied.ticket = self.next_ticket();
        let mut seen = Clock::new();
        // Siblings are logged before the join hides that they are new.
        self.see_siblings(transaction, &mut seen, &taken.changes, applied);
        seen.join(&join.minus(&self.clock));
        self.clock.join(join);
        self.stage_merged(transaction, &mut seen, taken.changes, &taken.clock, applied);
        applied.fresh += seen.count();
        self.stage_clock(applied.ticket, seen);
    }
}
