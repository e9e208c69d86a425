//! Configuration that changes while the program runs, all or nothing.
//!
//! A reload parses and validates the whole configuration and compares what cannot change without a
//! restart. Only when all of that holds does the new one replace the old one, in one step.
//!
//! Files are watched by reading them every now and then, not by inotify: a ConfigMap changes by
//! swapping a symlink two levels up, editors replace files by renaming, and network file systems
//! send no events at all. Reading a few kilobytes catches every one of these and needs no crate.

use std::hash::{DefaultHasher, Hasher as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::config::ConfigErrors;
use crate::metrics::{Gauge, MetricError, Metrics};
use crate::shutdown::Shutdown;

/// How often the files are read. A change is taken once two readings agree, so that a file that is
/// being written is not taken half written.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A value that may be replaced at any time; clones see the same value.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

/// Reloads one configuration; clones share it.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

/// One attempt to load the configuration; gives the keys that changed.
type Attempt = Box<dyn Fn() -> Result<Vec<String>, ReloadError> + Send + Sync>;

struct Inner {
    files: Vec<PathBuf>,
    /// What the files held when the program started.
    at_start: Option<u64>,
    /// Held during a reload: two at once could store the older one last.
    attempt: Mutex<Attempt>,
    successful: Gauge,
    succeeded_at: Gauge,
}

/// The keys in which two configurations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that take effect at once.
    pub live: Vec<String>,
    /// Those that need a restart.
    pub boot: Vec<String>,
}

/// Why the running configuration stays as it is.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// The new configuration is wrong in itself.
    #[error("the running configuration stays: {0}")]
    Invalid(#[from] ConfigErrors),
    /// The new configuration is fine but changes what is only read at start.
    #[error("the running configuration stays: {} can only change with a restart", .0.join(", "))]
    NeedsRestart(Vec<String>),
    /// The reload itself could not be run.
    #[error("the running configuration stays: the reload was interrupted")]
    Interrupted,
}

// === impl Live ===

impl<T> Live<T> {
    /// Starts with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// The current value, cheaply; not to be held across an await. A second call may give a newer
    /// one, so one decision should be made on one call.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// The current value, to be held as long as one likes.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value for everyone.
    pub fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// === impl Reloader ===

impl Reloader {
    /// `parse` reads and validates the whole configuration anew; `changes` names the keys that differ
    /// between the running and the new one; `applied` is told of every new configuration once it is in
    /// place (to set the log level, say) and cannot refuse it.
    ///
    /// `files` are watched by [`Reloader::watch`]: the configuration and what it refers to.
    pub fn new<T: Send + Sync + 'static>(
        metrics: &Metrics,
        files: Vec<PathBuf>,
        live: Live<T>,
        parse: impl Fn() -> Result<T, ConfigErrors> + Send + Sync + 'static,
        changes: impl Fn(&T, &T) -> Changes + Send + Sync + 'static,
        applied: impl Fn(&T) + Send + Sync + 'static,
    ) -> Result<Self, MetricError> {
        let attempt = move || {
            let new = parse()?;
            let changes = changes(&live.load(), &new);
            if !changes.boot.is_empty() {
                return Err(ReloadError::NeedsRestart(changes.boot));
            }
            live.store(new);
            applied(&live.load());
            Ok(changes.live)
        };
        let successful = metrics.gauges(
            "settle_config_last_reload_successful",
            "1 when the last attempt to load the configuration succeeded, 0 when it was refused.",
            ["program"],
        )?;
        let succeeded_at = metrics.gauges(
            "settle_config_last_reload_success_timestamp_seconds",
            "When the running configuration was loaded, in seconds since the epoch.",
            ["program"],
        )?;
        let reloader = Self(Arc::new(Inner {
            at_start: fingerprint(&files),
            files,
            attempt: Mutex::new(Box::new(attempt)),
            successful: successful.with([metrics.program()]),
            succeeded_at: succeeded_at.with([metrics.program()]),
        }));
        // The configuration that the program started with.
        reloader.0.note_success();
        Ok(reloader)
    }

    /// One attempt, now, for this cause. Logs the outcome, and returns the keys that changed. Reads files,
    /// so it runs beside the async workers.
    pub async fn reload(&self, cause: &str) -> Result<Vec<String>, ReloadError> {
        let inner = Arc::clone(&self.0);
        let outcome = tokio::task::spawn_blocking(move || inner.reload()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "reload panicked");
            self.0.successful.set(0.0);
            Err(ReloadError::Interrupted)
        });
        match &outcome {
            Ok(changed) if changed.is_empty() => {
                tracing::info!(cause, "configuration reloaded, nothing changed");
            }
            Ok(changed) => tracing::info!(cause, changed = changed.join(", "), "configuration reloaded"),
            Err(error) => tracing::error!(cause, %error, "configuration refused"),
        }
        outcome
    }

    /// Reloads on SIGHUP and whenever a watched file changed, until `shutdown`.
    pub async fn watch(self, shutdown: Shutdown) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watched = Watched::new(self.0.at_start);
        loop {
            let cause = tokio::select! {
                () = shutdown.wait() => return Ok(()),
                _ = hangup.recv() => "SIGHUP",
                _ = tick.tick() => {
                    let inner = Arc::clone(&self.0);
                    let reading = tokio::task::spawn_blocking(move || fingerprint(&inner.files)).await;
                    if !watched.changed(reading.ok().flatten()) {
                        continue;
                    }
                    "file change"
                }
            };
            // It was logged, and there is nobody to answer.
            let _outcome = self.reload(cause).await;
        }
    }
}

// === impl Inner ===

impl Inner {
    fn reload(&self) -> Result<Vec<String>, ReloadError> {
        let attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = attempt();
        match outcome {
            Ok(_) => self.note_success(),
            Err(_) => self.successful.set(0.0),
        }
        outcome
    }

    fn note_success(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.succeeded_at.set(now.as_secs_f64());
        self.successful.set(1.0);
    }
}

/// A number that changes with the content of the files; nothing while one cannot be read, as
/// happens in the middle of a swap.
fn fingerprint(files: &[PathBuf]) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let content = std::fs::read(file).ok()?;
        hasher.write_usize(content.len());
        hasher.write(&content);
    }
    Some(hasher.finish())
}

/// Tells a settled change from readings of the files.
#[derive(Debug)]
struct Watched {
    /// The content last acted upon, nothing when it could not be read at the start.
    taken: Option<u64>,
    /// The reading before this one.
    before: Option<u64>,
}

// === impl Watched ===

impl Watched {
    fn new(at_start: Option<u64>) -> Self {
        Self { taken: at_start, before: at_start }
    }

    /// True when the files hold something new, and did so at the reading before as well.
    fn changed(&mut self, reading: Option<u64>) -> bool {
        let settled = reading.is_some() && reading == self.before;
        self.before = reading;
        let new = settled && reading != self.taken;
        if new {
            self.taken = reading;
        }
        new
    }
}

#[cfg(test)]
mod tests;
