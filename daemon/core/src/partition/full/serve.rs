//! The sender's side of a full exchange: answers from durable state, each read at one instant. It keeps nothing between
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::clock::Clock;
use crate::codec::Decode;
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::walk::Question;
use crate::storage::{Rows, StorageError};

use super::super::exchange::{PageLimits, entry_bytes};
use super::super::{Partition, corrupt};
use super::{
    Filled, FullPage, FullPart, FullRequest, FullStep, Incomparable, Listing, READ_FACTOR, TreesCompared,
};

impl Partition {
    /// The answer to a request of a full exchange.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read.
    pub fn serve_full(
        &self,
        rows: &dyn Rows,
        request: &FullRequest,
        limits: PageLimits,
    ) -> Result<FullPage, StorageError> {
        let part = match &request.step {
            FullStep::Compare { mark, question } => {
                if *mark == self.survey.secret().mark() {
                    FullPart::Compared(self.compared(rows, question, limits)?)
                } else {
                    FullPart::Compared(Err(Incomparable::Secret))
                }
            }
            FullStep::List(listing) => self.listed(rows, listing, limits)?,
            FullStep::Keys(keys) => self.named(rows, keys, limits)?,
            FullStep::Rest(theirs) => FullPart::Rest(self.serve_log(rows, theirs, limits)?),
        };
        Ok(FullPage { asked: request.asked, source: self.origin, clock: self.durable.clone(), part })
    }

    /// What this tree says, and which entries it does not speak for.
    fn compared(
        &self,
        rows: &dyn Rows,
        question: &Question,
        limits: PageLimits,
    ) -> Result<Result<TreesCompared, Incomparable>, StorageError> {
        let Some(tree) = self.tree() else { return Ok(Err(Incomparable::Unbuilt)) };
        let Ok(answer) = tree.answer(question) else { return Ok(Err(Incomparable::Depth)) };
        let explicit = self.explicit(rows, limits)?;
        Ok(Ok(TreesCompared { answer, explicit }))
    }

    /// The keys that have an explicit context beyond the durable clock; `None` if they are too many to name.
    fn explicit(&self, rows: &dyn Rows, limits: PageLimits) -> Result<Option<BTreeSet<Key>>, StorageError> {
        let mut explicit = BTreeSet::new();
        if self.residue.len() > limits.records.saturating_mul(READ_FACTOR) {
            return Ok(None);
        }
        for key in self.residue.iter().chain(self.overlay.keys_between(None, None)) {
            if !self.beyond_clock(&self.read(rows, key)?).is_empty() {
                explicit.insert(key.clone());
            }
            if explicit.len() > limits.records {
                return Ok(None);
            }
        }
        Ok(Some(explicit))
    }

    /// What an entry's explicit context has beyond the durable clock.
    fn beyond_clock(&self, entry: &Entry) -> Clock {
        if entry.context.is_empty() { Clock::new() } else { entry.context.minus(&self.durable) }
    }

    fn named(&self, rows: &dyn Rows, keys: &[Key], limits: PageLimits) -> Result<FullPart, StorageError> {
        let mut entries = Vec::new();
        let mut filled = Filled::default();
        for key in keys {
            let entry = self.read(rows, key)?;
            filled.add(entry_bytes(&entry));
            entries.push((key.clone(), entry));
            if filled.is_full(limits) {
                break;
            }
        }
        Ok(FullPart::Keys(entries))
    }

    /// The entries in the listing's range and leaves that differ from what is held, or have an explicit context.
    fn listed(
        &self,
        rows: &dyn Rows,
        listing: &Listing,
        limits: PageLimits,
    ) -> Result<FullPart, StorageError> {
        let (mut until, found) = self.durable_entries(rows, listing, limits)?;
        let mut entries = BTreeMap::new();
        let mut filled = Filled::default();
        let absent = Entry::default();
        let held = listing.held.keys().filter(|key| until.as_ref().is_none_or(|until| *key <= until));
        let keys: BTreeSet<&Key> = found.keys().chain(held).collect();
        for key in keys {
            let entry = found.get(key).unwrap_or(&absent);
            let held = listing.held.get(key).copied().unwrap_or_default();
            if self.survey.secret().fingerprint(key, entry) == held && self.beyond_clock(entry).is_empty() {
                continue;
            }
            filled.add(key.as_bytes().len() + entry_bytes(entry));
            entries.insert(key.clone(), entry.clone());
            if filled.is_full(limits) {
                until = Some(key.clone());
                break;
            }
        }
        Ok(FullPart::Listed { until, entries: entries.into_iter().collect() })
    }

    /// Durable entries of the listing's leaves from the beginning of its range, and up to which key these are all.
    fn durable_entries(
        &self,
        rows: &dyn Rows,
        listing: &Listing,
        limits: PageLimits,
    ) -> Result<(Option<Key>, BTreeMap<Key, Entry>), StorageError> {
        // By the depth of the asking side: its leaves are meant.
        let wanted = |key: &Key| listing.leaves.has(self.survey.secret().leaf(key, listing.leaves.depth()));
        let mut found = BTreeMap::new();
        let mut until = listing.until.clone();
        let mut read = Filled::default();
        let mut outcome = Ok(());
        self.scan_entries(rows, listing.after.as_ref(), |key, value| {
            if listing.until.as_ref().is_some_and(|until| key > until) {
                return ControlFlow::Break(());
            }
            read.add(key.as_bytes().len() + value.len());
            if wanted(key) && self.overlay.durable(key).is_none() {
                match Entry::from_bytes(value) {
                    Ok(entry) => drop(found.insert(key.clone(), entry)),
                    Err(error) => {
                        outcome = Err(corrupt("entry", &error));
                        return ControlFlow::Break(());
                    }
                }
            }
            if !read.is_enough(limits) {
                return ControlFlow::Continue(());
            }
            until = Some(key.clone());
            ControlFlow::Break(())
        })?;
        outcome?;
        for key in self.overlay.keys_between(listing.after.as_ref(), until.as_ref()) {
            if let Some(entry) = self.overlay.durable(key).filter(|_| wanted(key)) {
                found.insert(key.clone(), entry.clone());
            }
        }
        Ok((until, found))
    }
}
