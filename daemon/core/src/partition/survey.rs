//! What is known of all entries together: the hash tree, and how many keys live.
//!
//! Both are found in one pass over all rows after the start, page by page so that the partition is not held up, and
//! kept current by every change from then on. The tree follows the *durable* state: a change is computed when it is
//! staged, while both entries are at hand, and counts when it is reported durable. So the tree and the durable clock
//! always stand for the same instant, which is what makes the roots of two replicas comparable.
//!
//! In the middle of the pass the tree stands for the keys that were passed: changes of others are left out, for the
//! pass will read what they have become.

use std::ops::ControlFlow;

use crate::codec::Decode;
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::{Change, DEPTH, Secret, Tree};
use crate::plant::{Plant, planted};
use crate::storage::{Rows, StorageError};

use super::{PageLimits, Partition, corrupt};

/// The pass and what it has found.
#[derive(Debug)]
pub(super) struct Survey {
    tree: Tree,
    /// Live keys of user buckets among the keys that were passed, pending changes included.
    live: i64,
    passed: Passed,
}

/// How far the pass has come.
#[derive(Debug)]
enum Passed {
    Nothing,
    /// Keys up to this one.
    Upto(Key),
    All,
}

/// Stored entries of neighbouring keys.
struct StoredPage {
    entries: Vec<(Key, Entry)>,
    /// The last key that they speak for; `None`: all that follow.
    until: Option<Key>,
}

impl Survey {
    /// A pass that has not begun.
    pub(super) fn new(secret: Secret) -> Self {
        Self { tree: Tree::new(secret, DEPTH), live: 0, passed: Passed::Nothing }
    }

    /// The hash tree, once all rows were passed.
    pub(super) const fn tree(&self) -> Option<&Tree> {
        match self.passed {
            Passed::All => Some(&self.tree),
            _ => None,
        }
    }

    /// What the tree is computed with.
    pub(super) const fn secret(&self) -> &Secret {
        self.tree.secret()
    }

    /// There is nothing any more, and all of it was passed.
    pub(super) fn empty(&mut self) {
        let tree = Tree::new(*self.tree.secret(), DEPTH);
        *self = Self { tree, live: 0, passed: Passed::All };
    }

    fn has_passed(&self, key: &Key) -> bool {
        match &self.passed {
            Passed::Nothing => false,
            Passed::Upto(last) => key <= last,
            Passed::All => true,
        }
    }

    /// A change is staged: what it will do to the tree.
    pub(super) fn staged(&mut self, key: &Key, before: &Entry, after: &Entry) -> Change {
        let change = self.tree.secret().change(key, before, after);
        if self.has_passed(key) {
            self.live += lives(key, after) - lives(key, before);
            if planted(Plant::TreeUpdatedWhenStaged) {
                self.tree.apply(change);
            }
        }
        change
    }

    /// A change that was staged is durable.
    pub(super) fn committed(&mut self, key: &Key, change: Change) {
        if self.has_passed(key) && !planted(Plant::TreeUpdatedWhenStaged) {
            self.tree.apply(change);
        }
    }
}

impl Partition {
    /// Sets what the hash tree is computed with, the same on all nodes of the cluster. The survey begins anew.
    pub fn set_secret(&mut self, secret: Secret) {
        self.survey = Survey::new(secret);
    }

    /// Surveys about one page of rows more; says whether all are done.
    ///
    /// # Errors
    /// [`StorageError`] when rows cannot be read or decoded; nothing was taken in then.
    pub fn survey(&mut self, rows: &dyn Rows, limits: PageLimits) -> Result<bool, StorageError> {
        let anew = Survey::new(*self.survey.secret());
        let mut survey = std::mem::replace(&mut self.survey, anew);
        let outcome = self.survey_page(&mut survey, rows, limits);
        self.survey = survey;
        outcome
    }

    /// Goes on with a pass by about one page; says whether it is done.
    pub(super) fn survey_page(
        &self,
        survey: &mut Survey,
        rows: &dyn Rows,
        limits: PageLimits,
    ) -> Result<bool, StorageError> {
        let after = match &survey.passed {
            Passed::Nothing => None,
            Passed::Upto(last) => Some(last.clone()),
            Passed::All => return Ok(true),
        };
        let StoredPage { entries, until } = self.stored_page(rows, after.as_ref(), limits)?;
        let nothing = Entry::default();
        for (key, entry) in &entries {
            // What is pending may be in storage already: the overlay knows what is durable.
            if self.overlay.pending(key).is_none() {
                survey.tree.replace(key, &nothing, entry);
                survey.live += lives(key, entry);
            }
        }
        for key in self.overlay.keys_between(after.as_ref(), until.as_ref()) {
            if let (Some(durable), Some(pending)) = (self.overlay.durable(key), self.overlay.pending(key)) {
                survey.tree.replace(key, &nothing, durable);
                survey.live += lives(key, pending);
            }
        }
        survey.passed = until.map_or(Passed::All, Passed::Upto);
        Ok(matches!(survey.passed, Passed::All))
    }

    /// About a page of the keys after `after`.
    fn stored_page(
        &self,
        rows: &dyn Rows,
        after: Option<&Key>,
        limits: PageLimits,
    ) -> Result<StoredPage, StorageError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut until = None;
        let mut outcome = Ok(());
        self.scan_entries(rows, after, |key, value| {
            bytes += key.as_bytes().len() + value.len();
            match Entry::from_bytes(value) {
                Ok(entry) => entries.push((key.clone(), entry)),
                Err(error) => {
                    outcome = Err(corrupt("entry", &error));
                    return ControlFlow::Break(());
                }
            }
            if entries.len() < limits.records && bytes < limits.bytes {
                return ControlFlow::Continue(());
            }
            until = Some(key.clone());
            ControlFlow::Break(())
        })?;
        outcome.map(|()| StoredPage { entries, until })
    }

    /// The hash tree of the durable state, once all rows were surveyed. It stands for the instant of the durable clock
    /// ([`Partition::durable`]).
    #[must_use]
    pub const fn tree(&self) -> Option<&Tree> {
        self.survey.tree()
    }

    /// The hash tree of the latest state, pending changes included.
    pub(super) fn pending_tree(&self) -> Option<Tree> {
        let mut tree = self.tree()?.clone();
        self.overlay.changes().for_each(|change| tree.apply(change));
        Some(tree)
    }

    /// Live keys of user buckets held here, pending changes included; `None` until all rows were surveyed.
    #[must_use]
    pub const fn live_keys(&self) -> Option<i64> {
        match self.survey.passed {
            Passed::All => Some(self.survey.live),
            _ => None,
        }
    }
}

/// What a key counts among the live ones.
fn lives(key: &Key, entry: &Entry) -> i64 {
    i64::from(!key.is_reserved() && !entry.siblings.is_empty())
}
