//! The two tasks of one peer: one polls until canaries are seen, one makes the verdict reads.
//!
//! They do not wait for each other. Polls wait for the one before; verdict reads do not, for each has a
//! time of its own, and if those at a peer that hangs waited in line, most would never be made and its
//! silence hardly be counted. Connections stay open between reads, so none is opened amid a measurement
//! unless the peer is slower than its canaries come.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use settle_service::worker::{Next, Worker};
use settle_wire::http::Base;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::board::NewPeer;
use super::ring::Value;
use super::{POLL_RESERVE, Prober, READ_DEADLINE, noted};
use crate::clock;
use crate::metrics::Throttled;
use crate::target::NoAddress;
use crate::verdict::{Canary, Read, Seen, Seq, Slot, judge};

/// A peer that nothing is awaited from is read this often, so that connections stay open and it is
/// known whether it answers.
const KEEP_WARM: Duration = Duration::from_secs(10);

/// The pause after the first unanswered poll in a row; it doubles with every further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The longest pause between unanswered polls: how late a recovery may be noticed.
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Verdict reads that wait for their time at most.
const VERDICTS_MAX: usize = 256;

/// Verdict reads of a peer that are under way at most: at the shortest interval, as many as a peer is
/// sent that takes more than half a second for each. Bounds what one that hangs can cost.
const READS_MAX: usize = 64;

/// A verdict read that this process begins later than this is left out: its time must be random. How
/// long the peer takes to answer has no part in it.
const VERDICT_LATENESS_MAX: Duration = Duration::from_millis(50);

/// Verdict reads to be made at one peer.
#[derive(Debug, Default)]
pub(crate) struct VerdictQueue {
    due: Mutex<BTreeSet<(Instant, Seq, Slot)>>,
    added: Notify,
}

/// Polls one peer.
pub(super) struct Poller {
    prober: Arc<Prober>,
    peer: String,
    name: String,
    wake: Arc<Notify>,
    /// Unanswered polls in a row.
    failures: u32,
    /// No poll before this.
    not_before: Instant,
    /// The last poll, whatever became of it.
    asked: Option<Instant>,
}

/// Makes the verdict reads at one peer.
pub(super) struct Verdicts {
    prober: Arc<Prober>,
    peer: String,
    name: String,
    wake: Arc<Notify>,
    queue: Arc<VerdictQueue>,
    /// Reads under way; none outlives the task.
    reads: JoinSet<()>,
}

/// What came of a read.
enum Look {
    /// It was answered.
    Seen(Seen),
    /// The peer does not hold the key: the layout has changed, which will be known soon.
    Elsewhere,
    /// It was not answered.
    Unanswered,
}

// === impl VerdictQueue ===

impl VerdictQueue {
    /// False when too many wait already.
    pub(crate) fn push(&self, canary: &Canary, at: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= VERDICTS_MAX {
            return false;
        }
        due.insert((at, canary.seq, canary.slot));
        drop(due);
        self.added.notify_one();
        true
    }

    /// Wakes the task, which will find that its peer is gone.
    pub(crate) fn close(&self) {
        self.added.notify_one();
    }

    fn first(&self) -> Option<Instant> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).first().map(|(at, ..)| *at)
    }

    fn pop(&self, now: Instant) -> Option<(Instant, Seq, Slot)> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.first().filter(|(at, ..)| *at <= now)?;
        due.pop_first()
    }
}

// === impl Prober ===

impl Prober {
    /// Reads one slot at one peer and puts what was seen on the board.
    async fn look(&self, peer: &str, api: &Result<Base, NoAddress>, slot: Slot) -> Look {
        let start = clock::now();
        self.board.asked(peer, slot, start);
        let failed = |error| self.board.failed(peer, error, start);
        let api = match api {
            Ok(api) => api,
            Err(problem) => {
                failed(problem.to_string());
                return Look::Unanswered;
            }
        };
        match self.target.read(api, &self.key(slot), READ_DEADLINE).await {
            Ok(answer) => {
                let seen = answer.value.map_or(Seen::Absent, |bytes| Value::seen(&bytes, self.run));
                tracing::trace!(peer, slot, took = ?answer.done.saturating_duration_since(answer.sent), ?seen, "read");
                self.board.observe(peer, &Read { slot, start: answer.sent, end: answer.done, seen });
                Look::Seen(seen)
            }
            Err(error) if error.is_elsewhere() => Look::Elsewhere,
            Err(error) => {
                failed(noted(self, &error));
                Look::Unanswered
            }
        }
    }

    /// Makes the verdict read of a canary.
    async fn verdict(&self, peer: &str, api: &Result<Base, NoAddress>, seq: Seq, slot: Slot) {
        // Before the read begins: what is acknowledged meanwhile is not asked of it.
        let acknowledged = self.board.acknowledged(slot).unwrap_or(seq);
        let result = match self.look(peer, api, slot).await {
            Look::Seen(seen) => Some(judge(acknowledged, seen)),
            Look::Unanswered => None,
            Look::Elsewhere => return self.board.no_verdict(peer, seq, clock::now()),
        };
        self.board.verdict(peer, seq, result, clock::now());
    }
}

// === impl Poller ===

impl Poller {
    pub(super) fn new(prober: Arc<Prober>, peer: &NewPeer) -> Self {
        Self {
            prober,
            peer: peer.name.clone(),
            name: format!("poll {}", peer.name),
            wake: Arc::clone(&peer.wake),
            failures: 0,
            not_before: clock::now(),
            asked: None,
        }
    }

    async fn poll(&mut self, api: &Result<Base, NoAddress>, slot: Slot) {
        self.asked = Some(clock::now());
        if matches!(self.prober.look(&self.peer, api, slot).await, Look::Seen(_)) {
            self.failures = 0;
        } else {
            let pause = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(8)).min(BACKOFF_MAX);
            self.failures = self.failures.saturating_add(1);
            self.not_before = clock::now() + pause;
        }
    }

    /// The slot to read next and when, also if only to keep the connection warm.
    fn next(&self, read: Option<(Instant, Slot)>, any: Slot) -> (Instant, Slot) {
        let warm = self.asked.map_or_else(clock::now, |asked| asked + KEEP_WARM);
        let (due, slot) = read.filter(|(due, _)| *due < warm).unwrap_or((warm, any));
        (due.max(self.not_before), slot)
    }
}

impl Worker for Poller {
    type Error = Infallible;

    fn name(&self) -> &str {
        &self.name
    }

    async fn work(&mut self) -> Result<Next, Infallible> {
        let Some(due) = self.prober.board.next_read(&self.peer, &self.wake) else { return Ok(Next::Done) };
        let (at, slot) = self.next(due.read, due.any);
        if at > clock::now() {
            return Ok(Next::Wait);
        }
        match self.prober.afford(1, POLL_RESERVE) {
            Ok(()) => {
                self.poll(&due.api, slot).await;
                Ok(Next::Again)
            }
            Err(wait) => {
                self.not_before = clock::now() + wait;
                Ok(Next::Wait)
            }
        }
    }

    async fn wait(&mut self) {
        let Some(due) = self.prober.board.next_read(&self.peer, &self.wake) else { return };
        let (at, _) = self.next(due.read, due.any);
        tokio::select! {
            () = self.wake.notified() => {}
            () = clock::sleep_until(at) => {}
        }
    }
}

// === impl Verdicts ===

impl Verdicts {
    pub(super) fn new(prober: Arc<Prober>, peer: &NewPeer) -> Self {
        Self {
            prober,
            peer: peer.name.clone(),
            name: format!("verdict {}", peer.name),
            wake: Arc::clone(&peer.wake),
            queue: Arc::clone(&peer.verdicts),
            reads: JoinSet::new(),
        }
    }

    /// Forgets the reads that have ended; a panic in one of them is one of this task.
    fn reap(&mut self) {
        while let Some(ended) = self.reads.try_join_next() {
            if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Starts the verdict read of a canary.
    fn start(&mut self, api: Result<Base, NoAddress>, seq: Seq, slot: Slot) {
        let (prober, peer) = (Arc::clone(&self.prober), self.peer.clone());
        self.reads.spawn(async move { prober.verdict(&peer, &api, seq, slot).await });
    }
}

impl Worker for Verdicts {
    type Error = Infallible;

    fn name(&self) -> &str {
        &self.name
    }

    async fn work(&mut self) -> Result<Next, Infallible> {
        self.reap();
        let board = &self.prober.board;
        let Some(due) = board.next_read(&self.peer, &self.wake) else { return Ok(Next::Done) };
        let now = clock::now();
        let Some((at, seq, slot)) = self.queue.pop(now) else { return Ok(Next::Wait) };
        if now.saturating_duration_since(at) > VERDICT_LATENESS_MAX {
            board.metrics.throttled(Throttled::InFlight);
            board.no_verdict(&self.peer, seq, now);
        } else if self.reads.len() >= READS_MAX {
            // So many questions unanswered are an answer: leaving this one out would flatter the peer.
            board.metrics.throttled(Throttled::InFlight);
            board.verdict(&self.peer, seq, None, now);
        } else if self.prober.afford(1, 0).is_err() {
            board.no_verdict(&self.peer, seq, now);
        } else {
            self.start(due.api, seq, slot);
        }
        Ok(Next::Again)
    }

    async fn wait(&mut self) {
        let due = async {
            match self.queue.first() {
                Some(at) => clock::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.queue.added.notified() => {}
            () = due => {}
        }
    }
}
