//! Stopping: the first signal drains, the second aborts; a drain has a deadline and names who is late.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the process exits with when a second signal cuts the drain short.
const ABORT_CODE: i32 = 130;

/// The wish to stop, shared by all tasks of a process; clones see the same wish.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

/// Tasks to wait for at the end, by name.
#[derive(Debug, Default)]
#[must_use = "tasks that nobody waits for are cut off when the process ends"]
pub struct Drain {
    tasks: Vec<(String, JoinHandle<()>)>,
}

// === impl Shutdown ===

impl Shutdown {
    /// A shutdown that only [`Shutdown::trigger`] starts.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// A shutdown that SIGTERM or SIGINT starts; a second signal ends the process at once with a
    /// code other than 0. Must be called within a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        Self::on_signals_or(|| std::process::exit(ABORT_CODE))
    }

    fn on_signals_or(abort: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let triggered = shutdown.clone();
        tokio::spawn(async move {
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::info!(signal = name, "draining; a second signal aborts");
            triggered.trigger();
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "aborting");
            abort();
        });
        Ok(shutdown)
    }

    /// Starts the shutdown; further calls change nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// True once the shutdown has started.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the shutdown has started. May be dropped at any time.
    pub async fn wait(&self) {
        let mut started = self.0.subscribe();
        // An error would mean that the sender is gone, but `self` holds it.
        let _held = started.wait_for(|started| *started).await.map(drop);
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

// === impl Drain ===

impl Drain {
    /// Nothing to wait for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task that ends by itself once the shutdown has started.
    pub fn add(&mut self, name: impl Into<String>, task: JoinHandle<()>) {
        self.tasks.push((name.into(), task));
    }

    /// Waits for all tasks, at most `deadline` in total; those still running are cut off and named.
    pub async fn finish(self, deadline: Duration) -> Vec<String> {
        let end = Instant::now() + deadline;
        let mut late = Vec::new();
        for (name, mut task) in self.tasks {
            match tokio::time::timeout_at(end, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(task = name, %error, "task ended badly"),
                Err(_) => {
                    tracing::warn!(task = name, ?deadline, "task did not stop in time");
                    task.abort();
                    late.push(name);
                }
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn names_who_is_late() {
        let shutdown = Shutdown::new();
        let mut drain = Drain::new();
        let prompt = shutdown.clone();
        drain.add("prompt", tokio::spawn(async move { prompt.wait().await }));
        drain.add("stuck", tokio::spawn(std::future::pending()));
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        assert_eq!(drain.finish(Duration::from_secs(5)).await, ["stuck"]);
        // Also one that begins to wait late.
        shutdown.wait().await;
    }

    #[tokio::test]
    async fn first_signal_drains_second_aborts() {
        let (aborted, mut abort) = tokio::sync::mpsc::channel(1);
        let shutdown = Shutdown::on_signals_or(move || aborted.try_send(()).unwrap()).unwrap();
        let terminate = || {
            let id = std::process::id().to_string();
            std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap()
        };
        assert!(terminate().success());
        tokio::time::timeout(Duration::from_secs(60), shutdown.wait()).await.unwrap();
        assert!(abort.try_recv().is_err(), "one signal must not abort");
        // Signals that arrive together count as one, so this one goes out after the first was taken.
        assert!(terminate().success());
        tokio::time::timeout(Duration::from_secs(60), abort.recv()).await.unwrap().unwrap();
    }
}
