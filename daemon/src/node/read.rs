//! The way of one read: this node's durable entry, merged with those of as many peers as the level asks for.

use settle_core::clock::Clock;
use settle_core::context::ClientContext;
use settle_core::entry::{Context, Entry, merge};
use settle_core::key::Key;
use settle_core::level::Level;
use settle_core::storage::StorageError;
use settle_wire::message::{Answer, Question};
use tokio::time::Instant;

use super::Node;
use super::gather::{Unavailable, gather};

/// A client's read.
#[derive(Debug)]
pub(crate) struct ReadRequest {
    /// The key.
    pub(crate) key: Key,
    /// How many replicas are asked.
    pub(crate) level: Level,
    /// When the answer is due.
    pub(crate) deadline: Instant,
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
    /// This node's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Node {
    /// Reads at a level.
    pub(crate) async fn read(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        let needed = request.level.needed(self.layout.load().replicas());
        let id = request.key.partition(self.partition_count());
        self.require_alive(id, needed)?;
        let (mut entry, mut clock) = self.read_own(&request.key)?;
        if needed > 1 {
            let question = Question::Read { partition: id, key: request.key.clone() };
            for answer in gather(self, id, needed, request.deadline, &question).await? {
                if let Answer::Entry { entry: theirs, clock: their_clock } = answer {
                    merge_answers(&mut entry, &mut clock, &theirs, &their_clock);
                }
            }
        }
        self.metrics.siblings.observe(entry.siblings.len() as f64);
        let context = self.client_context(&request.key, &entry, &clock);
        Ok(ReadOutcome { entry, context })
    }

    /// This node's own durable state of a key: entry and clock of one instant.
    pub(crate) fn read_own(&self, key: &Key) -> Result<(Entry, Clock), StorageError> {
        let id = key.partition(self.partition_count());
        let unknown = || StorageError::Io(format!("partition {} does not exist here", id.0));
        let partition = self.partition(id).ok_or_else(unknown)?;
        Ok((partition.read(&*self.engine, key)?, partition.durable().clone()))
    }

    /// The siblings' dots and the explicit context, always; of the clock, what concerns the replicas' present lives.
    pub(crate) fn client_context(&self, key: &Key, entry: &Entry, clock: &Clock) -> ClientContext {
        let mut replicas = self.others();
        replicas.push(self.origin.node);
        let mut covered = clock.newest_of(&replicas);
        covered.join(&entry.context);
        covered.extend(entry.dots());
        ClientContext { key: Some(key.hash()), clock: covered, stamp: entry.stamp_max() }
    }
}

/// Merges another replica's answer into one; each side's context is its explicit one and its clock.
fn merge_answers(entry: &mut Entry, clock: &mut Clock, theirs: &Entry, their_clock: &Clock) {
    let mine = Context { explicit: &entry.context, implied: clock };
    let other = Context { explicit: &theirs.context, implied: their_clock };
    entry.siblings = merge(entry, mine, theirs, other).siblings;
    entry.context.join(&theirs.context);
    clock.join(their_clock);
}
