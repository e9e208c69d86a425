//! A read at several replicas: what their answers come to, and who must learn of it before the client does.
//!
//! Such reads are monotonic: one that begins after another has ended shows nothing older. The state that the earlier one
//! returned was held durably by as many replicas as its level needs, and as many answer the later one; at quorum, two
//! such groups share a replica.

use crate::clock::Clock;
use crate::dot::Dot;
use crate::entry::{Context, merge};
use crate::key::Key;
use crate::partition::{Compared, Have, Held, Repair};
use crate::plant::{Plant, planted};

/// The answers to a read, as they come in. `R` names a replica.
#[derive(Debug)]
pub struct Reading<R> {
    own: Held,
    /// All that the asking replica has seen.
    known: Clock,
    answers: Vec<Answer<R>>,
}

/// What one of the other replicas said.
#[derive(Debug)]
struct Answer<R> {
    replica: R,
    /// What it holds, unless it shows the same as the asking replica.
    differs: Option<Held>,
    /// All that it has seen.
    known: Clock,
    /// Whether some of that may be writes of the key that the asking replica has not seen.
    news: bool,
}

/// What the answers come to.
#[derive(Debug)]
pub struct Settled<R> {
    /// What the replicas hold together.
    pub held: Held,
    /// Whether the asking replica must learn of it.
    pub own_lacks: bool,
    /// Which of the others must.
    pub lacking: Vec<R>,
    /// Those that hold it already.
    pub holding: Vec<R>,
    /// All that any of them shows, for a plant; empty otherwise.
    shown: Clock,
}

impl<R> Reading<R> {
    /// A read by a replica that holds `own` itself.
    #[must_use]
    pub fn new(own: Held) -> Self {
        Self { known: own.known(), own, answers: Vec::new() }
    }

    /// What the other replicas are asked to compare with.
    #[must_use]
    pub fn have(&self) -> Have {
        Have::of(&self.own.entry, self.known.clone())
    }

    /// Takes another replica's answer.
    pub fn add(&mut self, replica: R, compared: Compared) {
        let (differs, known, news) = match compared {
            Compared::Same { known } => (None, known, false),
            Compared::Differs { held, news } => {
                let known = held.known();
                (Some(held), known, news)
            }
        };
        self.answers.push(Answer { replica, differs, known, news });
    }

    /// How many replicas have answered, the asking one included.
    #[must_use]
    pub const fn answered(&self) -> usize {
        1 + self.answers.len()
    }

    /// Merges the answers. `may_concern` says whether dots that the asking replica has seen may be the key's
    /// ([`crate::partition::Partition::may_concern`]).
    pub fn settle(self, may_concern: impl Fn(Clock) -> bool) -> Settled<R> {
        let Self { own, known, answers } = self;
        let shown = if planted(Plant::RepairOfShownOnly) { shown(&own, &answers) } else { Clock::new() };
        let differ = answers.iter().any(|answer| answer.differs.is_some());
        let own_dots: Vec<Dot> = if differ { own.entry.dots().collect() } else { Vec::new() };
        let mut held = own;
        for answer in &answers {
            held.merge(answer);
        }
        let same = |dots: &mut dyn Iterator<Item = Dot>| dots.eq(held.entry.dots());
        let own_shows_it = !differ || same(&mut own_dots.into_iter());
        // What one of the others has seen, and the asking one has not, concerns the key if that one says so.
        let misses_news = |seen: &Clock| answers.iter().any(|other| other.news && !seen.covers(&other.known));
        let lacks = |answer: &Answer<R>| {
            let shows_it = match &answer.differs {
                Some(theirs) => same(&mut theirs.entry.dots()),
                None => own_shows_it,
            };
            !shows_it || may_concern(known.minus(&answer.known)) || misses_news(&answer.known)
        };
        let own_lacks = !own_shows_it || misses_news(&known);
        let lacking: Vec<bool> = answers.iter().map(lacks).collect();
        let mut settled = Settled { held, own_lacks, lacking: Vec::new(), holding: Vec::new(), shown };
        for (answer, lacks) in answers.into_iter().zip(lacking) {
            let list = if lacks { &mut settled.lacking } else { &mut settled.holding };
            list.push(answer.replica);
        }
        settled
    }
}

impl<R> Settled<R> {
    /// Whether all that answered hold it.
    #[must_use]
    pub const fn is_agreed(&self) -> bool {
        !self.own_lacks && self.lacking.is_empty()
    }

    /// How many replicas hold it without a repair.
    #[must_use]
    pub const fn holders(&self) -> usize {
        self.holding.len() + if self.own_lacks { 0 } else { 1 }
    }

    /// What is sent to replicas that lack it.
    #[must_use]
    pub fn repair(&self, key: Key) -> Repair {
        let mut entry = self.held.entry.clone();
        entry.context =
            if planted(Plant::RepairOfShownOnly) { self.shown.clone() } else { self.held.known() };
        Repair { key, entry }
    }
}

/// Whether a read whose level needs `needed` replicas may be answered when `holders` hold durably what it shows.
#[must_use]
pub fn may_answer(holders: usize, needed: usize) -> bool {
    holders >= needed || planted(Plant::ReadBeforeRepair)
}

impl Held {
    /// Merges what another replica holds; each side's context is its explicit one and its clock.
    fn merge<R>(&mut self, answer: &Answer<R>) {
        let Some(theirs) = &answer.differs else {
            // Of this key it has seen nothing that the asking replica has not.
            self.clock.join(&answer.known);
            return;
        };
        let mine = Context { explicit: &self.entry.context, implied: &self.clock };
        let other = Context { explicit: &theirs.entry.context, implied: &theirs.clock };
        self.entry.siblings = merge(&self.entry, mine, &theirs.entry, other).siblings;
        self.entry.context.join(&theirs.entry.context);
        self.clock.join(&theirs.clock);
    }
}

/// The dots of all siblings of all replicas.
fn shown<R>(own: &Held, answers: &[Answer<R>]) -> Clock {
    let others = answers.iter().filter_map(|answer| answer.differs.as_ref());
    others.chain([own]).flat_map(|held| held.entry.dots()).collect()
}

#[cfg(test)]
mod tests;
