//! Background work: named, in bounded steps, backing off on errors, never silently dead.
//!
//! `work` is one bounded step and runs to its end; `wait` is where a worker spends its idle time and
//! may be dropped at any moment. A shutdown therefore waits for one step at most.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::http::catch_panic;
use crate::shutdown::{Drain, Shutdown};

/// The pause after the first error in a row; it doubles with every further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest pause between errors.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// One kind of background work.
pub trait Worker: Send + 'static {
    /// Why a step failed.
    type Error: Display + Send;

    /// What it is called in logs and status.
    fn name(&self) -> &str;

    /// One bounded step, which is never dropped half way. Every wait in it needs a deadline.
    fn work(&mut self) -> impl Future<Output = Result<Next, Self::Error>> + Send;

    /// Returns when there may be something to do. May be dropped at any moment.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is more to do at once.
    Again,
    /// Nothing to do until [`Worker::wait`] returns.
    Wait,
    /// The work is over for good.
    Done,
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In a step.
    Busy,
    /// Waiting for something to do.
    Idle,
    /// Pausing after an error.
    BackingOff,
    /// Its work is over, or the process shuts down.
    Done,
    /// It panicked and will not run again.
    Poisoned,
}

/// A worker as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The worker's name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Failed steps since the start.
    pub errors: u64,
    /// Failed steps since the last good one.
    pub errors_in_a_row: u32,
    /// What the last error said, also when it is over.
    pub last_error: Option<String>,
}

/// All workers of a process; clones share them.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    shutdown: Shutdown,
    on_panic: PanicHook,
    /// Behind one lock: status is written a few times per step and read by people.
    status: Mutex<Vec<Status>>,
    tasks: Mutex<Vec<(String, JoinHandle<()>)>>,
}

/// Gets a worker's name and what it panicked with.
type PanicHook = Box<dyn Fn(&str, &str) + Send + Sync>;

// === impl Workers ===

impl Workers {
    /// `on_panic` gets a worker's name and the message; it should turn the process unready.
    pub fn new(shutdown: Shutdown, on_panic: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        let on_panic = Box::new(on_panic);
        Self(Arc::new(Inner { shutdown, on_panic, status: Mutex::default(), tasks: Mutex::default() }))
    }

    /// Starts a worker; it runs until the shutdown, unless it is done or panics before.
    pub fn spawn<W: Worker>(&self, worker: W) {
        let name = worker.name().to_owned();
        let index = {
            let mut all = locked(&self.0.status);
            let (state, errors, errors_in_a_row, last_error) = (State::Idle, 0, 0, None);
            all.push(Status { name: name.clone(), state, errors, errors_in_a_row, last_error });
            all.len() - 1
        };
        let inner = Arc::clone(&self.0);
        let task_name = name.clone();
        let task = tokio::spawn(async move {
            match catch_panic(run(worker, &inner, index)).await {
                Ok(()) => inner.note(index, |status| status.state = State::Done),
                Err(message) => {
                    tracing::error!(worker = name, panic = message, "worker panicked");
                    inner.note(index, |status| {
                        status.state = State::Poisoned;
                        status.last_error = Some(message.clone());
                    });
                    (inner.on_panic)(&name, &message);
                }
            }
        });
        locked(&self.0.tasks).push((task_name, task));
    }

    /// All workers, in the order in which they were started.
    pub fn list(&self) -> Vec<Status> {
        locked(&self.0.status).clone()
    }

    /// Hands the tasks to the drain at the end of the process.
    pub fn drain_into(&self, drain: &mut Drain) {
        locked(&self.0.tasks).drain(..).for_each(|(name, task)| drain.add(name, task));
    }
}

async fn run<W: Worker>(mut worker: W, inner: &Inner, index: usize) {
    while !inner.shutdown.is_triggered() {
        inner.note(index, |status| status.state = State::Busy);
        let pause = match worker.work().await {
            Ok(next) => {
                inner.note(index, |status| status.errors_in_a_row = 0);
                match next {
                    Next::Done => return,
                    // Between steps others get their turn.
                    Next::Again => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Next::Wait => None,
                }
            }
            Err(error) => Some(inner.note_error(index, &error.to_string())),
        };
        let state = if pause.is_some() { State::BackingOff } else { State::Idle };
        inner.note(index, |status| status.state = state);
        let idle = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => worker.wait().await,
            }
        };
        tokio::select! {
            () = inner.shutdown.wait() => return,
            () = idle => {}
        }
    }
}

// === impl Inner ===

impl Inner {
    fn note(&self, index: usize, change: impl FnOnce(&mut Status)) {
        if let Some(status) = locked(&self.status).get_mut(index) {
            change(status);
        }
    }

    /// Counts and logs an error; returns how long to pause.
    fn note_error(&self, index: usize, error: &str) -> Duration {
        let mut pause = BACKOFF_MAX;
        self.note(index, |status| {
            status.errors += 1;
            status.errors_in_a_row = status.errors_in_a_row.saturating_add(1);
            status.last_error = Some(error.to_owned());
            pause = backoff(status.errors_in_a_row);
            tracing::warn!(
                worker = status.name,
                error,
                in_a_row = status.errors_in_a_row,
                ?pause,
                "step failed"
            );
        });
        pause
    }
}

fn backoff(errors_in_a_row: u32) -> Duration {
    let doublings = errors_in_a_row.saturating_sub(1).min(16);
    BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_MAX)
}

/// A panic while a status is written leaves a status, not a broken one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
