//! Repairs that operators ask for: one at a time, and what is known of the latest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// How many are remembered.
const REMEMBERED: usize = 16;

/// The repairs of this process.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    /// Latest last.
    jobs: Mutex<VecDeque<Arc<Job>>>,
    asked: Notify,
}

/// One repair.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name.
    pub(crate) id: String,
    /// When it was asked for.
    pub(crate) since: Instant,
    progress: watch::Sender<Progress>,
}

/// How far a repair is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Whether it has ended.
    pub(crate) done: bool,
    /// Partitions held here, as far as others hold them too.
    pub(crate) partitions: usize,
    /// Those that are compared.
    pub(crate) partitions_done: usize,
    /// Replicas of partitions, at others, that hold the same.
    pub(crate) equal: u64,
    /// Those that held something else, and hold the same by now.
    pub(crate) repaired: u64,
    /// Keys that were written anew.
    pub(crate) keys_repaired: u64,
    /// Partitions of which rows had changed on this node's disk.
    pub(crate) rotten: u64,
    /// What could not be done.
    pub(crate) failures: Vec<String>,
}

impl Jobs {
    /// Asks for a repair: the one that has not ended yet, or a new one. `life` tells this process from others.
    pub(crate) fn ask(&self, life: u64) -> Arc<Job> {
        let mut jobs = self.lock();
        if let Some(job) = jobs.back().filter(|job| !job.progress().done) {
            return Arc::clone(job);
        }
        let number = jobs.back().map_or(1, |last| last.number() + 1);
        let job = Arc::new(Job {
            id: format!("{life:x}-{number}"),
            since: Instant::now(),
            progress: watch::Sender::new(Progress::default()),
        });
        jobs.push_back(Arc::clone(&job));
        if jobs.len() > REMEMBERED {
            jobs.pop_front();
        }
        self.asked.notify_one();
        job
    }

    /// The repair of this name.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.lock().iter().find(|job| job.id == id).cloned()
    }

    /// Waits for a repair to be asked for.
    pub(crate) async fn next(&self) -> Arc<Job> {
        loop {
            if let Some(job) = self.lock().back().filter(|job| !job.progress().done) {
                return Arc::clone(job);
            }
            self.asked.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn number(&self) -> u64 {
        self.id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// It got further.
    pub(crate) fn update(&self, update: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(update);
    }

    /// Waits for its end, at most for so long.
    pub(crate) async fn wait(&self, at_most: Duration) {
        let mut watched = self.progress.subscribe();
        // Whatever came first, the caller looks for itself.
        drop(timeout(at_most, watched.wait_for(|progress| progress.done)).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_the_latest_are_remembered() {
        let jobs = Jobs::default();
        let first = jobs.ask(0xe);
        assert_eq!((jobs.ask(0xe).id.as_str(), first.id.as_str()), ("e-1", "e-1"));
        assert_eq!(jobs.next().await.id, "e-1");
        first.wait(Duration::from_millis(1)).await;
        assert!(!first.progress().done);
        for number in 1..=REMEMBERED + 1 {
            let job = jobs.ask(0xe);
            assert_eq!(job.id, format!("e-{number}"));
            job.update(|progress| progress.done = true);
            job.wait(Duration::from_secs(60)).await;
        }
        assert!(jobs.find("e-1").is_none() && jobs.find("e-2").is_some());
    }
}
