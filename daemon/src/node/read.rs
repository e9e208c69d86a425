//! The way of one read: this node's durable entry, compared with those of as many peers as the level asks for, merged with
//! what differs, and repaired before it is shown ([`super::repair`]).

use std::sync::Arc;

use settle_core::context::ClientContext;
use settle_core::entry::Entry;
use settle_core::key::Key;
use settle_core::level::Level;
use settle_core::partition::Held;
use settle_core::reading::{Reading, Settled};
use settle_core::storage::StorageError;
use settle_wire::message::{Answer, Question};
use tokio::time::Instant;

use super::Node;
use super::gather::{Asking, Unavailable, gather};
use super::route::{Partner, Route, Routes};

/// A client's read.
#[derive(Debug)]
pub(crate) struct ReadRequest {
    /// The key.
    pub(crate) key: Key,
    /// How many replicas are asked.
    pub(crate) level: Level,
    /// When the answer is due.
    pub(crate) deadline: Instant,
    /// Where the replicas were when it began.
    pub(crate) routes: Arc<Routes>,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct ReadOutcome {
    /// The merge of the answers.
    pub(crate) entry: Entry,
    /// What a write that builds on it sends along.
    pub(crate) context: ClientContext,
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// Not enough replicas.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Replicas differ, and too few hold by now what they hold together: the next read might show less.
    #[error("replicas differed, and {holders} of {needed} hold in time what they hold together")]
    Unrepaired {
        /// How many hold it.
        holders: usize,
        /// How many the level needs.
        needed: usize,
    },
    /// This node's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Node {
    /// Reads at a level.
    pub(crate) async fn read(self: &Arc<Self>, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        let ReadRequest { key, level, deadline, routes } = request;
        let partition = key.partition(self.partition_count());
        let route = routes.of(partition);
        self.require_own(route)?;
        let mut held = self.held(&key)?;
        // What one replica shows is that replica's word, whichever sets there are.
        if level == Level::One || route.is_alone(route.needed(level)) {
            self.compare_by_chance(&key, &held, &routes);
        } else {
            let asking = Asking { routes: &routes, id: partition, needed: route.needed(level), deadline };
            self.require(&asking)?;
            let reading = Reading::new(held);
            let question = Question::Compare { partition, key: key.clone(), have: reading.have() };
            let answers = gather(self, &asking, &question).await?;
            held = self.agree(&key, self.settle(reading, answers, &key), &asking).await?;
        }
        self.metrics.siblings.observe(held.entry.siblings.len() as f64);
        let context = self.client_context(route, &key, &held);
        Ok(ReadOutcome { entry: held.entry, context })
    }

    /// This node's own durable state of a key.
    pub(crate) fn held(&self, key: &Key) -> Result<Held, StorageError> {
        let id = key.partition(self.partition_count());
        let unknown = || StorageError::Io(format!("partition {} does not exist here", id.0));
        self.partition(id).ok_or_else(unknown)?.held(&*self.engine, key)
    }

    /// What the answers to a read come to.
    pub(super) fn settle(
        &self,
        mut reading: Reading<Partner>,
        answers: Vec<(Partner, Answer)>,
        key: &Key,
    ) -> Settled<Partner> {
        let id = key.partition(self.partition_count());
        for (partner, answer) in answers {
            if let Answer::Compared(compared) = answer {
                reading.add(partner, compared);
            }
        }
        reading.settle(|dots| {
            // Mostly none, and then nothing is locked.
            !dots.is_empty() && self.partition(id).is_none_or(|partition| partition.may_concern(dots, key))
        })
    }

    /// The siblings' dots and the explicit context, always; of the clock, what concerns the replicas' present lives.
    pub(crate) fn client_context(&self, route: &Route, key: &Key, held: &Held) -> ClientContext {
        let Held { entry, clock } = held;
        let others = route.partners.iter().map(|partner| partner.peer.node);
        let replicas: Vec<_> = others.chain([self.origin.node]).collect();
        let mut covered = clock.newest_of(&replicas);
        covered.join(&entry.context);
        covered.extend(entry.dots());
        ClientContext { key: Some(key.hash()), clock: covered, stamp: entry.stamp_max() }
    }
}
