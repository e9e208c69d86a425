//! What the receiver of a full exchange remembers. Lost with a restart, on purpose.

use std::collections::BTreeSet;

use crate::clock::Clock;
use crate::dot::Origin;
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::walk::Question;
use crate::merkle::{Leaves, Secret, Tree};
use crate::plant::{Plant, planted};

use super::{Asked, TreesCompared};

/// Keys that may change while one page is under way; after more the page is asked for again.
const TOUCHED_MAX: usize = 4_096;

/// An exchange in progress.
#[derive(Debug)]
pub(in super::super) struct Pull {
    /// The last request.
    pub(super) asked: Asked,
    pub(super) step: Step,
    /// The sender and its clock, as of its first answer.
    pub(super) first: Option<(Origin, Clock)>,
    /// Joined from the clocks under which something counts as merged that was not sent.
    pub(super) remembered: Clock,
    /// Leaves that were equal, each with the sender's clock of that instant.
    equal: Vec<(Leaves, Clock)>,
    /// Leaves whose keys are listed.
    pub(super) differing: Leaves,
    /// The last keys of the pages so far, ascending, with their clocks.
    pages: Vec<(Option<Key>, Clock)>,
    /// Keys of leaves that were equal or were listed, which must be fetched all the same.
    pub(super) open: BTreeSet<Key>,
    /// Keys that have changed since they were named in the listing under way.
    pub(super) touched: BTreeSet<Key>,
}

/// What the last request asked for.
#[derive(Debug)]
pub(super) enum Step {
    Compare(Question),
    /// Keys of differing leaves after the first of these, up to the second.
    List(Option<Key>, Option<Key>),
    Keys,
    Rest,
}

impl Pull {
    /// An exchange that is about to begin; `differing`: the leaves to list, as far as they are known.
    pub(super) const fn new(asked: Asked, differing: Leaves) -> Self {
        Self {
            asked,
            step: Step::Rest,
            first: None,
            remembered: Clock::new(),
            equal: Vec::new(),
            differing,
            pages: Vec::new(),
            open: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// What `key` counts as having been merged with, although nothing was sent for it: all that the sender reflected
    /// when it was found equal.
    pub(super) fn context(&self, secret: &Secret, key: &Key) -> Option<&Clock> {
        if self.open.contains(key) || planted(Plant::SkippedKeysUnguarded) {
            return None;
        }
        let leaf = secret.leaf(key, self.differing.depth());
        if self.differing.has(leaf) {
            let page = self.pages.iter().find(|(until, _)| until.as_ref().is_none_or(|until| key <= until));
            return page.map(|(_, clock)| clock);
        }
        self.equal.iter().find(|(leaves, _)| leaves.has(leaf)).map(|(_, clock)| clock)
    }

    /// A key has changed.
    pub(super) fn touch(&mut self, secret: &Secret, key: &Key) {
        let Step::List(after, until) = &self.step else { return };
        let in_range =
            after.as_ref().is_none_or(|after| key > after) && until.as_ref().is_none_or(|until| key <= until);
        let listed = in_range && self.differing.has(secret.leaf(key, self.differing.depth()));
        if listed && self.touched.len() <= TOUCHED_MAX {
            self.touched.insert(key.clone());
        }
    }

    /// Takes an answer about hash trees; `tree` is this replica's of now. Says what to ask next, if anything.
    pub(super) fn compared(
        &mut self,
        compared: Option<&TreesCompared>,
        tree: Option<&Tree>,
        clock: &Clock,
    ) -> Option<Question> {
        self.remembered.join(clock);
        let Step::Compare(asked) = &self.step else { return None };
        let settled = compared.zip(tree).and_then(|(compared, tree)| {
            Some((compared.explicit.as_ref()?, tree, tree.settle(asked, &compared.answer).ok()?))
        });
        let depth = self.differing.depth();
        let Some((explicit, tree, settled)) = settled else {
            // Trees can say nothing: every leaf that was not found equal is listed.
            self.differing = Leaves::all(depth);
            self.equal.iter().for_each(|(leaves, _)| self.differing.remove_all(leaves));
            return None;
        };
        let mut equal = Leaves::none(depth);
        settled.equal.into_iter().for_each(|(level, index)| equal.insert_below(level, index));
        if !planted(Plant::ExplicitContextSkipped) {
            let named = explicit.iter().filter(|key| equal.has(tree.leaf_of(key)));
            self.open.extend(named.cloned());
        }
        self.equal.push((equal, clock.clone()));
        settled.differing.into_iter().for_each(|leaf| self.differing.insert(leaf));
        settled.next
    }

    /// Takes a page of what differs; `sent` are its entries. Says after which key the next one begins, if any is left.
    pub(super) fn listed(
        &mut self,
        until: Option<&Key>,
        sent: &[(Key, Entry)],
        clock: &Clock,
    ) -> Option<Option<Key>> {
        let Step::List(after, _) = &self.step else { return None };
        if self.touched.len() > TOUCHED_MAX {
            return Some(after.clone());
        }
        self.remembered.join(clock);
        let sent: BTreeSet<&Key> = sent.iter().map(|(key, _)| key).collect();
        let unsure = self.touched.iter().filter(|key| until.is_none_or(|until| *key <= until));
        self.open.extend(unsure.filter(|key| !sent.contains(key)).cloned());
        // Usually nothing has happened since the page before.
        self.pages.pop_if(|(_, before)| before == clock);
        self.pages.push((until.cloned(), clock.clone()));
        if planted(Plant::JoinedAfterPartialWalk) {
            return None;
        }
        until.map(|until| Some(until.clone()))
    }
}
