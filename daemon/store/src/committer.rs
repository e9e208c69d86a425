//! Group commit: a thread that takes all batches queued since its last commit and commits them as one.
//!
//! Under load the sync of one group is the time in which the next gathers, so the number of syncs falls as the
//! number of writes grows. Handing a batch over is a push under a mutex; the thread is woken only when it sleeps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use settle_core::segment::{SegmentId, Segments};
use settle_core::storage::{Batch, StorageError};

use crate::disk::Disk;

/// After a group of at least this many batches the thread pauses before it takes the next: so many writers wait that a
/// few more will have joined by then, and the work of a group (the sync, waking whoever waits, acknowledging) is shared
/// by more. A lone writer never waits.
const GATHER_FROM: usize = 6;

/// How long it pauses for each batch of the group: the more writers wait, the more the work of a group matters, and the
/// less the wait of each.
const GATHER: Duration = Duration::from_micros(50);

/// About the time of a sync on a good disk.
const GATHER_MAX: Duration = Duration::from_millis(1);

/// When commits reach the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before they are reported.
    Always,
    /// At most this long after they were reported.
    Interval(Duration),
    /// When the operating system sees fit, and at the end.
    Never,
}

/// A group that was committed.
#[derive(Debug)]
pub struct Committed<T> {
    /// What came with its batches, in their order.
    pub tags: Vec<T>,
    /// The newest log segment that is written by now.
    pub segment: SegmentId,
    /// How long the commit took; under [`Durability::Always`] nearly all of it is the sync.
    pub sync_duration: Duration,
    /// How many rows it changed.
    pub rows: usize,
    /// The size of its names and values, in bytes.
    pub bytes: usize,
}

/// Why a batch was not taken. Nothing of it will be committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue has reached its bound; try again later.
    #[error("too many bytes wait to be written; try again later")]
    Overloaded,
    /// The committer was closed.
    #[error("the committer is closed")]
    Closed,
    /// A commit failed; none will be taken until the disk is opened anew.
    #[error(transparent)]
    Failed(#[from] StorageError),
}

/// The thread and the queue before it. Dropping it closes it.
#[derive(Debug)]
pub struct Committer<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
    queue_bytes_max: usize,
}

#[derive(Debug)]
struct Queue<T> {
    group: Group<T>,
    durability: Durability,
    /// The thread waits for `wake`.
    asleep: bool,
    closing: bool,
    failed: Option<StorageError>,
}

/// Batches on their way, with their tags in the same order.
#[derive(Debug)]
struct Group<T> {
    batches: Vec<Batch>,
    tags: Vec<T>,
    bytes: usize,
}

/// What the thread does next.
enum Step {
    Commit(Durability),
    Sync,
    Finish,
}

impl<T> Group<T> {
    const fn new() -> Self {
        Self { batches: Vec::new(), tags: Vec::new(), bytes: 0 }
    }
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Committer<T> {
    /// Starts the thread, which goes on with the log segments that the disk holds; `clock` gives the time for their log
    /// records, in seconds since 1970. It takes no more batches once `queue_bytes_max` bytes wait. `on_commit` runs on it
    /// after each group, in order; `on_failure` at most once, when a commit or sync failed, and nothing is committed
    /// after it: the tags of what was not committed are dropped then.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn start<D: Disk + 'static>(
        disk: Arc<D>,
        mut segments: Segments,
        clock: impl Fn() -> u64 + Send + 'static,
        durability: Durability,
        queue_bytes_max: usize,
        mut on_commit: impl FnMut(Committed<T>) + Send + 'static,
        on_failure: impl FnOnce(StorageError) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Queue { group: Group::new(), durability, asleep: false, closing: false, failed: None };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake: Condvar::new(), queue_bytes_max });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || {
            // Outlives the loop, so that no tag is dropped before the failure is known to all.
            let mut group = Group::new();
            // A panic must not leave a queue that is filled and never emptied.
            let ran = catch_unwind(AssertUnwindSafe(|| {
                run(&inside, &*disk, &mut segments, &clock, &mut group, &mut on_commit)
            }));
            let panicked =
                |_| Err(StorageError::Io("the committer panicked; restart the process".to_owned()));
            if let Err(error) = ran.unwrap_or_else(panicked) {
                let lost = {
                    let mut queue = inside.queue();
                    queue.failed = Some(error.clone());
                    mem::replace(&mut queue.group, Group::new())
                };
                on_failure(error);
                drop(lost);
            }
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a batch; `tag` comes back with the group that it was committed in. Takes it also when the queue has
    /// reached its bound: whoever staged a change must be able to queue it, or it would exist in memory only. The
    /// bound is kept by asking [`Committer::ready`] first, and overshot by the changes that are being made.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn submit(&self, batch: Batch, tag: T) -> Result<(), Refused> {
        let bytes = batch.size_bytes();
        let mut queue = self.shared.queue();
        queue.admit()?;
        queue.group.batches.push(batch);
        queue.group.tags.push(tag);
        queue.group.bytes += bytes;
        let wake = mem::take(&mut queue.asleep);
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Whether a batch would be taken now. For callers that must know before they make one; only other callers can
    /// change the answer for the worse.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn ready(&self) -> Result<(), Refused> {
        let queue = self.shared.queue();
        queue.admit()?;
        if queue.group.bytes >= self.shared.queue_bytes_max { Err(Refused::Overloaded) } else { Ok(()) }
    }

    /// Changes when commits reach the device; what was committed before follows the new rule as well.
    pub fn set_durability(&self, durability: Durability) {
        let mut queue = self.shared.queue();
        queue.durability = durability;
        queue.asleep = false;
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Commits what is queued, syncs, and ends the thread. Batches are refused from now on. Not to be called from
    /// the callbacks.
    ///
    /// # Errors
    /// What a commit failed with, now or earlier.
    pub fn close(&self) -> Result<(), StorageError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut queue = self.shared.queue();
        queue.closing = true;
        drop(queue);
        self.shared.wake.notify_one();
        let ended = thread.is_none_or(|thread| thread.join().is_ok());
        match self.shared.queue().failed.clone() {
            Some(error) => Err(error),
            None if ended => Ok(()),
            None => Err(StorageError::Io("the committer panicked".to_owned())),
        }
    }
}

impl<T> Drop for Committer<T> {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // Its outcome went to `on_failure`.
            let _ = thread.join();
        }
    }
}

impl<T> Queue<T> {
    fn admit(&self) -> Result<(), Refused> {
        if let Some(error) = &self.failed {
            return Err(Refused::Failed(error.clone()));
        }
        if self.closing {
            return Err(Refused::Closed);
        }
        Ok(())
    }
}

/// Waits for something to do. `unsynced` is when the oldest commit was made that was not synced; the queued group
/// is swapped into `group`, which is empty.
fn next<T>(shared: &Shared<T>, group: &mut Group<T>, unsynced: Option<Instant>) -> Step {
    let mut queue = shared.queue();
    loop {
        let left = match (unsynced, queue.durability) {
            (Some(_), Durability::Always) => Some(Duration::ZERO),
            (Some(since), Durability::Interval(interval)) => Some(interval.saturating_sub(since.elapsed())),
            (_, _) => None,
        };
        // Before new commits, so that a stream of them cannot put the sync off.
        if left.is_some_and(|left| left.is_zero()) {
            return Step::Sync;
        }
        if !queue.group.batches.is_empty() {
            mem::swap(&mut queue.group, group);
            return Step::Commit(queue.durability);
        }
        if queue.closing {
            return Step::Finish;
        }
        queue.asleep = true;
        queue = match left {
            Some(left) => {
                let woken = shared.wake.wait_timeout(queue, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
        queue.asleep = false;
    }
}

fn run<T>(
    shared: &Shared<T>,
    disk: &dyn Disk,
    segments: &mut Segments,
    clock: &dyn Fn() -> u64,
    group: &mut Group<T>,
    on_commit: &mut dyn FnMut(Committed<T>),
) -> Result<(), StorageError> {
    let mut unsynced = None;
    loop {
        match next(shared, group, unsynced) {
            Step::Commit(durability) => {
                let sync = durability == Durability::Always;
                let started = Instant::now();
                let size = group.tags.len();
                segments.seal(&mut group.batches, clock());
                disk.commit(&group.batches, sync)?;
                unsynced = if sync { None } else { unsynced.or(Some(started)) };
                on_commit(take_committed(group, segments.newest(), started.elapsed()));
                if size >= GATHER_FROM {
                    thread::sleep(
                        GATHER.saturating_mul(u32::try_from(size).unwrap_or(u32::MAX)).min(GATHER_MAX),
                    );
                }
            }
            Step::Sync => {
                disk.sync()?;
                unsynced = None;
            }
            Step::Finish => return if unsynced.is_some() { disk.sync() } else { Ok(()) },
        }
    }
}

/// Empties `group` for the next use, keeping the room that its vectors have.
fn take_committed<T>(group: &mut Group<T>, segment: SegmentId, sync_duration: Duration) -> Committed<T> {
    let rows = group.batches.iter().map(|batch| batch.rows.len()).sum();
    group.batches.clear();
    let room = Vec::with_capacity(group.tags.len());
    let tags = mem::replace(&mut group.tags, room);
    Committed { tags, segment, sync_duration, rows, bytes: mem::take(&mut group.bytes) }
}

#[cfg(test)]
mod tests;
