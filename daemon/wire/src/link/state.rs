//! What a link's users and its task share.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use settle_core::key::PartitionId;
use tokio::sync::oneshot;

use super::Acked;
use crate::ended::Ended;
use crate::limits::Limits;
use crate::lock;
use crate::message::{Answer, put_delta};
use crate::outbox::{Outbox, PushError};

/// A link's state. No lock is held while another task is waited for; `deltas` is taken before the outbox's.
#[derive(Debug)]
pub(super) struct Shared<W> {
    pub(super) outbox: Outbox,
    deltas: Mutex<Deltas<W>>,
    questions: Mutex<Questions>,
    limits: Limits,
}

/// Deltas on their way, oldest first: the one in front has the sequence `acked + 1`.
#[derive(Debug)]
struct Deltas<W> {
    waiters: VecDeque<Option<W>>,
    acked: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Questions {
    open: HashMap<u64, oneshot::Sender<Answer>>,
    last: u64,
    closed: bool,
}

impl<W: Acked> Shared<W> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            outbox: Outbox::new(limits.queued_bytes),
            deltas: Mutex::new(Deltas { waiters: VecDeque::new(), acked: 0, closed: false }),
            questions: Mutex::default(),
            limits,
        }
    }

    /// Queues a delta. Its sequence is its place in the queue, so both are taken under one lock.
    pub(super) fn send_delta(
        &self,
        partition: PartitionId,
        encoded: &[u8],
        waiter: Option<W>,
    ) -> Result<(), PushError> {
        let mut deltas = lock(&self.deltas);
        if deltas.closed {
            return Err(PushError::Closed);
        }
        if deltas.waiters.len() >= self.limits.unacked_deltas {
            return Err(PushError::Full);
        }
        self.outbox.push(|out| put_delta(out, partition, encoded))?;
        deltas.waiters.push_back(waiter);
        Ok(())
    }

    pub(super) fn unacked(&self) -> usize {
        lock(&self.deltas).waiters.len()
    }

    /// Resolves all deltas up to `upto`, in order. `scratch` is kept between calls for its memory.
    pub(super) fn acked(&self, upto: u64, scratch: &mut Vec<Option<W>>) -> Result<(), &'static str> {
        let mut deltas = lock(&self.deltas);
        let count = usize::try_from(upto.saturating_sub(deltas.acked)).unwrap_or(usize::MAX);
        if count > deltas.waiters.len() {
            return Err("an acknowledgement of deltas that were not sent");
        }
        scratch.extend(deltas.waiters.drain(..count));
        deltas.acked += count as u64;
        drop(deltas);
        scratch.drain(..).flatten().for_each(Acked::acked);
        Ok(())
    }

    /// Opens a question; `None` when too many are open, or the connection has ended.
    pub(super) fn open(&self) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let mut questions = lock(&self.questions);
        if questions.closed || questions.open.len() >= self.limits.questions {
            return None;
        }
        questions.last += 1;
        let id = questions.last;
        let (sender, receiver) = oneshot::channel();
        questions.open.insert(id, sender);
        Some((id, receiver))
    }

    pub(super) fn forget(&self, id: u64) {
        lock(&self.questions).open.remove(&id);
    }

    pub(super) fn answered(&self, id: u64, answer: Answer) -> Result<(), &'static str> {
        let mut questions = lock(&self.questions);
        if id > questions.last {
            return Err("an answer to a question that was not asked");
        }
        let asker = questions.open.remove(&id);
        drop(questions);
        // Nobody waits any more when the deadline has passed.
        if let Some(asker) = asker {
            let _ = asker.send(answer);
        }
        Ok(())
    }

    /// Ends everything that still waits.
    pub(super) fn end(&self, reason: &Ended) {
        self.outbox.close(reason.clone());
        let waiters = {
            let mut deltas = lock(&self.deltas);
            deltas.closed = true;
            std::mem::take(&mut deltas.waiters)
        };
        let open = {
            let mut questions = lock(&self.questions);
            questions.closed = true;
            std::mem::take(&mut questions.open)
        };
        // Dropped outside the locks: a waiter's drop may do anything.
        drop((waiters, open));
    }
}
