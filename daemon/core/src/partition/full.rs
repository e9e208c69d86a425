//! The full exchange: for a replica whose gaps the sender's log cannot name any more.
//!
//! Its meaning is that the receiver merges *every* key with the sender's entry of some instant after the exchange began,
//! each under the sender's durable clock of that instant. Then it reflects everything that the sender reflected at the
//! beginning, the *first* clock, and may join it. What makes it cheap is that merging equal entries changes nothing but
//! the context, so those need not be sent.
//!
//! 1. **Compare**: a walk through the hash trees finds leaves that are equal. The sender's sums are those of the
//!    instant of its clock; the receiver compares them with its own of the moment in which it takes the answer. A leaf
//!    that is equal then is merged by that. Keys of it that have an explicit context at the sender are named, to be
//!    fetched.
//! 2. **List**: in the order of their keys, page by page, the receiver says which keys of the other leaves it has, with
//!    fingerprints, and the sender answers with the entries of those that differ (an empty one for a key that it does
//!    not have). What is not on the page is equal, unless the receiver's copy has changed since it asked.
//! 3. **Keys**: entries of single keys, named in 1 or changed in 2.
//! 4. **Rest**: what came up at the sender since the first clock, from its log.
//!
//! # The context of what was not sent
//! An entry that arrives is stored with the context under which it was merged. For what was not sent the same context
//! is remembered here, in memory: the clock of the answer that showed the key to be equal counts as the key's context
//! until the exchange ends ([`Pull::context`]), so late deltas of what the sender has superseded bring nothing back.
//! When the exchange ends, that memory is lost. So it ends only once the receiver's clock, joined with the first one,
//! covers every clock that is remembered; that is what step 4 is for. (If the join came earlier, the receiver's clock
//! would not cover deletes whose effect it already shows: to a third replica it would look as if data had vanished.)
//!
//! The exchange ends without effect on the clock when the sender or the receiver restarts. Then a new one finds most
//! leaves equal.

mod ask;
mod messages;
mod pull;
mod serve;
mod take;

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Clock;
use crate::dot::{Epoch, Origin};
use crate::entry::Entry;
use crate::key::Key;
use crate::merkle::Leaves;
use crate::merkle::walk::{Answer, Question};

use super::exchange::{LogAnswer, PageLimits};

pub(super) use ask::Source;
pub(super) use pull::Pull;

/// How many times the size of a page may be read for it: leaves are scattered over all keys.
const READ_FACTOR: usize = 8;

/// Names a request: no partition of any node uses a name twice. An answer to another request is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The life of the asking node.
    pub epoch: Epoch,
    /// Its number among the requests of that life.
    pub number: u64,
}

/// What the receiver asks for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullRequest {
    /// Its name.
    pub asked: Asked,
    /// What is asked for.
    pub step: FullStep,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullStep {
    /// Where hash trees differ.
    Compare {
        /// The mark of the asking node's secret: trees of different secrets say nothing about each other.
        mark: u64,
        /// The question.
        question: Question,
    },
    /// What differs among the next keys.
    List(Listing),
    /// These entries.
    Keys(Vec<Key>),
    /// The entries behind what this clock lacks, by the log.
    Rest(Clock),
}

/// The receiver's keys within a range and within some leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The leaves.
    pub leaves: Leaves,
    /// Keys after this one; `None`: from the first.
    pub after: Option<Key>,
    /// Keys up to this one at most: bounds how many of its own the receiver names.
    pub until: Option<Key>,
    /// Those that have siblings, and their fingerprints.
    pub held: BTreeMap<Key, u128>,
}

/// What the sender answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullPage {
    /// The request.
    pub asked: Asked,
    /// The sender, in the life in which it read this.
    pub source: Origin,
    /// The sender's durable clock at the instant at which the part was read.
    pub clock: Clock,
    /// The answer.
    pub part: FullPart,
}

/// The answer to each [`FullStep`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullPart {
    /// Where hash trees differ, or why that cannot be said.
    Compared(Result<TreesCompared, Incomparable>),
    /// Entries that differ, or have an explicit context.
    Listed {
        /// The last key that the page speaks for; `None`: all that follow.
        until: Option<Key>,
        /// Keys ascending, and their entries.
        entries: Vec<(Key, Entry)>,
    },
    /// The entries of the first of the keys, in their order; at least one.
    Keys(Vec<(Key, Entry)>),
    /// A page of the log.
    Rest(LogAnswer),
}

/// A comparison of hash trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreesCompared {
    /// What the sender's tree says.
    pub answer: Answer,
    /// The keys whose entries have an explicit context, which trees do not show; `None` if they are too many to name.
    pub explicit: Option<BTreeSet<Key>>,
}

/// Why hash trees cannot be compared. Keys can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// The sender has not built its tree yet.
    #[error("the peer is still building its hash tree")]
    Unbuilt,
    /// The trees are computed with different secrets.
    #[error("hash trees are keyed differently: cluster.secret_file must be the same on all nodes")]
    Secret,
    /// The trees have different depths.
    #[error("hash trees have different depths: all nodes must run the same version")]
    Depth,
}

/// What comes after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Ask for this.
    Next(FullRequest),
    /// The receiver has everything that the sender had at the beginning.
    Done,
    /// The sender restarted, or cannot go on: begin anew.
    Aborted,
    /// It answers another request than the last one, and was ignored.
    Stray,
}

impl FullPart {
    /// The entries that it carries.
    #[must_use]
    pub fn entries(&self) -> &[(Key, Entry)] {
        match self {
            Self::Listed { entries, .. } | Self::Keys(entries) => entries,
            Self::Rest(LogAnswer::Page(page)) => &page.entries,
            Self::Compared(_) | Self::Rest(LogAnswer::Full) => &[],
        }
    }
}

/// How much is on a page so far, or was read for it.
#[derive(Debug, Default)]
pub(super) struct Filled {
    items: usize,
    bytes: usize,
}

impl Filled {
    fn add(&mut self, bytes: usize) {
        self.items += 1;
        self.bytes += bytes;
    }

    /// The first of some keys, as many as fit a page.
    pub(super) fn fitting<'a>(keys: impl Iterator<Item = &'a Key>, limits: PageLimits) -> Vec<Key> {
        let mut filled = Self::default();
        let fitting = keys.take_while(|key| {
            let fits = !filled.is_full(limits);
            filled.add(key.as_bytes().len());
            fits
        });
        fitting.cloned().collect()
    }

    fn is_full(&self, limits: PageLimits) -> bool {
        self.items >= limits.records || self.bytes >= limits.bytes
    }

    /// Whether as much was read as may be for one page.
    fn is_enough(&self, limits: PageLimits) -> bool {
        self.items >= limits.records.saturating_mul(READ_FACTOR)
            || self.bytes >= limits.bytes.saturating_mul(READ_FACTOR)
    }
}
