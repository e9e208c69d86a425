//! The receiver's requests in a full exchange.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::clock::Clock;
use crate::codec::Decode;
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::walk::Question;
use crate::merkle::{DEPTH, Leaves};
use crate::storage::{Rows, StorageError};

use super::super::exchange::PageLimits;
use super::super::{Partition, corrupt};
use super::pull::Step;
use super::{Asked, Filled, FullRequest, FullStep, Listing, Pull};

/// Which state is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Source {
    Durable,
    /// With all changes.
    Pending,
}

impl Partition {
    /// The request that opens a full exchange.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn open_full(&mut self, rows: &dyn Rows, limits: PageLimits) -> Result<FullRequest, StorageError> {
        let tree = self.pending_tree();
        let differing = if tree.is_some() { Leaves::none(DEPTH) } else { Leaves::all(DEPTH) };
        self.pull = Some(Pull::new(self.next_asked(), differing));
        match tree {
            Some(tree) => Ok(self.ask_compare(tree.question())),
            None => self.ask_list(rows, None, limits),
        }
    }

    /// Whether a full exchange is in progress.
    #[must_use]
    pub const fn is_pulling(&self) -> bool {
        self.pull.is_some()
    }

    /// Gives up a full exchange, if one is in progress.
    pub fn abort_full(&mut self) {
        self.pull = None;
    }

    /// What a key is known to have been merged with in a full exchange, beyond what its entry and the clock say.
    pub(in super::super) fn pulled_context(&self, key: &Key) -> Clock {
        let context = self.pull.as_ref().and_then(|pull| pull.context(self.survey.secret(), key));
        context.map(|context| context.minus(&self.clock)).unwrap_or_default()
    }

    /// A change of a key is staged.
    pub(in super::super) fn pull_touched(&mut self, key: &Key) {
        if let Some(pull) = &mut self.pull {
            pull.touch(self.survey.secret(), key);
        }
    }

    pub(in super::super) const fn next_asked(&mut self) -> Asked {
        self.asked += 1;
        Asked { epoch: self.origin.epoch, number: self.asked }
    }

    /// The next request of the exchange in progress.
    fn ask(&mut self, step: Step, wanted: FullStep) -> FullRequest {
        let asked = self.next_asked();
        if let Some(pull) = &mut self.pull {
            pull.asked = asked;
            pull.step = step;
            pull.touched.clear();
        }
        FullRequest { asked, step: wanted }
    }

    /// Asks about nodes of the hash tree.
    pub(super) fn ask_compare(&mut self, question: Question) -> FullRequest {
        let mark = self.survey.secret().mark();
        self.ask(Step::Compare(question.clone()), FullStep::Compare { mark, question })
    }

    /// Asks about the keys of differing leaves after `after`.
    pub(super) fn ask_list(
        &mut self,
        rows: &dyn Rows,
        after: Option<Key>,
        limits: PageLimits,
    ) -> Result<FullRequest, StorageError> {
        let leaves = self.pull.as_ref().map_or_else(|| Leaves::all(DEPTH), |pull| pull.differing.clone());
        let listing = self.listing(rows, leaves, after, limits, Source::Pending)?;
        let step = Step::List(listing.after.clone(), listing.until.clone());
        Ok(self.ask(step, FullStep::List(listing)))
    }

    /// Asks for single keys.
    pub(super) fn ask_keys(&mut self, keys: Vec<Key>) -> FullRequest {
        self.ask(Step::Keys, FullStep::Keys(keys))
    }

    /// Asks for what the sender's log has and `clock` lacks.
    pub(super) fn ask_rest(&mut self, clock: Clock) -> FullRequest {
        self.ask(Step::Rest, FullStep::Rest(clock))
    }

    /// The next keys of some leaves.
    pub(in super::super) fn listing(
        &self,
        rows: &dyn Rows,
        leaves: Leaves,
        after: Option<Key>,
        limits: PageLimits,
        source: Source,
    ) -> Result<Listing, StorageError> {
        let secret = self.survey.secret();
        let wanted = |key: &Key| leaves.has(secret.leaf(key, leaves.depth()));
        let mut held = BTreeMap::new();
        let mut until = None;
        let (mut filled, mut read) = (Filled::default(), Filled::default());
        let mut outcome = Ok(());
        self.scan_entries(rows, after.as_ref(), |key, value| {
            read.add(key.as_bytes().len() + value.len());
            if wanted(key) && self.overlay.pending(key).is_none() {
                filled.add(key.as_bytes().len());
                match Entry::from_bytes(value) {
                    Ok(entry) => drop(held.insert(key.clone(), secret.fingerprint(key, &entry))),
                    Err(error) => outcome = Err(corrupt("entry", &error)),
                }
            }
            if outcome.is_ok() && !filled.is_full(limits) && !read.is_enough(limits) {
                return ControlFlow::Continue(());
            }
            until = Some(key.clone());
            ControlFlow::Break(())
        })?;
        outcome?;
        for key in self.overlay.keys_between(after.as_ref(), until.as_ref()).filter(|key| wanted(key)) {
            let entry = match source {
                Source::Durable => self.overlay.durable(key),
                Source::Pending => self.overlay.pending(key),
            };
            if let Some(entry) = entry {
                held.insert(key.clone(), secret.fingerprint(key, entry));
            }
        }
        // Those without siblings are as good as absent.
        held.retain(|_, fingerprint| *fingerprint != 0);
        Ok(Listing { leaves, after, until, held })
    }
}
