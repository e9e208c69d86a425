//! Verification: whether two replicas that believe they are equal are equal.
//!
//! It speaks the language of the full exchange ([`super::full`]) and changes nothing: a walk through both hash trees,
//! then the entries of the leaves that differ. Roots that are equal say that the data was, at the two instants at which
//! they were taken. Roots that differ mean nothing yet if the clocks differ as well; then the replicas should exchange
//! what they lack first. While writes go on the clocks may never be equal, so in the end it is decided key by key, by
//! the rule of [`super::contradiction`], and what cannot be decided is looked at again a little later.

use std::collections::BTreeMap;

use crate::clock::Clock;
use crate::dot::Origin;
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::walk::Question;
use crate::merkle::{DEPTH, Leaves};
use crate::storage::{Rows, StorageError};

use super::compare::Held;
use super::contradiction::{Contradiction, Pair, Standing};
use super::full::{
    Asked, Filled, FullPage, FullPart, FullRequest, FullStep, Incomparable, Source, TreesCompared,
};
use super::{PageLimits, Partition, Repair};

/// Contradictions after which the rest is left to the next verification.
const FOUND_MAX: usize = 256;
/// How often keys are looked at again that could not be decided.
const LOOKS_MAX: u32 = 5;
/// The most keys that are; more will be found again by the next verification.
const UNSURE_MAX: usize = 1_024;

/// A verification under way, at the replica that asks.
#[derive(Debug)]
pub struct Verification {
    /// The last request.
    asked: Asked,
    step: Step,
    source: Option<Origin>,
    /// Whether to go on although the clocks differ.
    insist: bool,
    differing: Leaves,
    /// Keys that could not be decided, with what both sides held.
    unsure: BTreeMap<Key, [Held; 2]>,
    looks: u32,
    found: Vec<Contradiction>,
    explicit: bool,
}

#[derive(Debug)]
enum Step {
    Compare(Question),
    List,
    Look,
}

/// What comes after an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask this.
    Ask(FullRequest),
    /// Ask this after a while: writes that are on their way should have arrived then.
    AskLater(FullRequest),
    /// The clocks differ, or differed for some keys until the end: let both sides fetch what they lack, then begin anew,
    /// and insist at last.
    Behind,
    /// The replicas agree, but for writes that are on their way.
    Equal,
    /// They contradict each other. Maybe about more than this: settle it, and begin anew.
    Contradicted(Vec<Contradiction>),
    /// Nothing can be said.
    Incomparable(Incomparable),
    /// The answer is of another life of the peer, or of another question: begin anew.
    Void,
}

impl Verification {
    /// Begins one; `None` while the partition has no hash tree yet. With `insist` it goes on although the clocks
    /// differ.
    #[must_use]
    pub fn begin(partition: &mut Partition, insist: bool) -> Option<(Self, FullRequest)> {
        let question = partition.tree()?.question();
        let mut verification = Self {
            asked: partition.next_asked(),
            step: Step::List,
            source: None,
            insist,
            differing: Leaves::none(DEPTH),
            unsure: BTreeMap::new(),
            looks: 0,
            found: Vec::new(),
            explicit: false,
        };
        let request = verification.compare(partition, question);
        Some((verification, request))
    }

    /// Whether a page answers its last request.
    #[must_use]
    pub fn awaits(&self, page: &FullPage) -> bool {
        page.asked == self.asked
    }

    /// Whether the peer has explicit contexts beyond its clock. They are no difference of the data, but they may be all
    /// that is left of writes that a disk has lost, and only a full exchange ([`Partition::open_full`]) fetches them.
    #[must_use]
    pub const fn met_explicit(&self) -> bool {
        self.explicit
    }

    /// After [`Verdict::Behind`]: of keys that could not be decided, what only the peer's explicit contexts tell. Of
    /// writes that a disk has lost no log tells, so this does; merged here it lets the next verification decide.
    pub fn contexts(&self) -> impl Iterator<Item = Repair> {
        let told = self.unsure.iter().filter(|(_, [_, theirs])| !theirs.entry.context.is_empty());
        told.map(|(key, [_, theirs])| {
            let mut entry = theirs.entry.clone();
            // Nothing is said about what only the clock covers.
            entry.siblings.retain(|(dot, _)| entry.context.has(*dot));
            Repair { key: key.clone(), entry }
        })
    }

    fn ask(&mut self, partition: &mut Partition, step: FullStep) -> FullRequest {
        self.asked = partition.next_asked();
        FullRequest { asked: self.asked, step }
    }

    fn compare(&mut self, partition: &mut Partition, question: Question) -> FullRequest {
        let mark = partition.survey.secret().mark();
        self.step = Step::Compare(question.clone());
        self.ask(partition, FullStep::Compare { mark, question })
    }

    fn list(
        &mut self,
        partition: &mut Partition,
        rows: &dyn Rows,
        after: Option<Key>,
        limits: PageLimits,
    ) -> Result<FullRequest, StorageError> {
        let listing = partition.listing(rows, self.differing.clone(), after, limits, Source::Durable)?;
        self.step = Step::List;
        Ok(self.ask(partition, FullStep::List(listing)))
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn take(
        &mut self,
        partition: &mut Partition,
        rows: &dyn Rows,
        page: &FullPage,
        limits: PageLimits,
    ) -> Result<Verdict, StorageError> {
        if page.asked != self.asked || *self.source.get_or_insert(page.source) != page.source {
            return Ok(Verdict::Void);
        }
        match (&page.part, &self.step) {
            (FullPart::Compared(Err(reason)), Step::Compare(_)) => Ok(Verdict::Incomparable(*reason)),
            (FullPart::Compared(Ok(compared)), Step::Compare(asked)) => {
                let asked = asked.clone();
                self.compared(partition, rows, (&asked, compared), &page.clock, limits)
            }
            (FullPart::Listed { until, entries }, Step::List) => {
                self.look_at(partition, rows, entries, &page.clock)?;
                match until {
                    Some(until) if self.found.len() < FOUND_MAX => {
                        self.list(partition, rows, Some(until.clone()), limits).map(Verdict::Ask)
                    }
                    _ => Ok(self.conclude(partition, limits)),
                }
            }
            (FullPart::Keys(entries), Step::Look) => {
                self.look_at(partition, rows, entries, &page.clock)?;
                self.looks += 1;
                Ok(self.conclude(partition, limits))
            }
            _ => Ok(Verdict::Void),
        }
    }

    /// Takes what the other tree says.
    fn compared(
        &mut self,
        partition: &mut Partition,
        rows: &dyn Rows,
        (asked, compared): (&Question, &TreesCompared),
        clock: &Clock,
        limits: PageLimits,
    ) -> Result<Verdict, StorageError> {
        self.explicit |= compared.explicit.as_ref().is_none_or(|keys| !keys.is_empty());
        let settled = partition.tree().and_then(|tree| tree.settle(asked, &compared.answer).ok());
        let Some(settled) = settled else { return Ok(Verdict::Void) };
        if asked.level == 0 && compared.answer.is_nothing() {
            return Ok(Verdict::Equal);
        }
        if !self.insist && clock != partition.durable() {
            return Ok(Verdict::Behind);
        }
        settled.differing.into_iter().for_each(|leaf| self.differing.insert(leaf));
        match settled.next {
            Some(question) => Ok(Verdict::Ask(self.compare(partition, question))),
            None if self.differing.is_empty() => Ok(Verdict::Equal),
            None => self.list(partition, rows, None, limits).map(Verdict::Ask),
        }
    }

    fn look_at(
        &mut self,
        partition: &Partition,
        rows: &dyn Rows,
        entries: &[(Key, Entry)],
        clock: &Clock,
    ) -> Result<(), StorageError> {
        entries.iter().try_for_each(|(key, theirs)| self.look(partition, rows, key, theirs, clock))
    }

    /// Looks at one key, maybe again.
    fn look(
        &mut self,
        partition: &Partition,
        rows: &dyn Rows,
        key: &Key,
        theirs: &Entry,
        clock: &Clock,
    ) -> Result<(), StorageError> {
        let ours = partition.held(rows, key)?;
        let theirs = Held { entry: theirs.clone(), clock: clock.clone() };
        let [ours_then, theirs_then] =
            self.unsure.remove(key).unwrap_or_else(|| [ours.clone(), theirs.clone()]);
        let now = [ours.clone(), theirs.clone()];
        match (Pair { ours: [ours_then, ours], theirs: [theirs_then, theirs] }).standing(key) {
            Standing::Fine => {}
            Standing::Contradicted(contradiction) => self.found.push(contradiction),
            Standing::Unsure if self.unsure.len() < UNSURE_MAX => drop(self.unsure.insert(key.clone(), now)),
            Standing::Unsure => {}
        }
        Ok(())
    }

    fn conclude(&mut self, partition: &mut Partition, limits: PageLimits) -> Verdict {
        if self.found.len() >= FOUND_MAX {
            return Verdict::Contradicted(std::mem::take(&mut self.found));
        }
        if self.looks < LOOKS_MAX && !self.unsure.is_empty() {
            let keys = Filled::fitting(self.unsure.keys(), limits);
            self.step = Step::Look;
            return Verdict::AskLater(self.ask(partition, FullStep::Keys(keys)));
        }
        match (self.found.is_empty(), self.unsure.is_empty()) {
            (false, _) => Verdict::Contradicted(std::mem::take(&mut self.found)),
            (true, false) => Verdict::Behind,
            (true, true) => Verdict::Equal,
        }
    }
}
