//! A running sidecar: its listener and the prober's tasks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use settle_service::admin::{Admin, Readiness};
use settle_service::http::{BindError, Limits, bind};
use settle_service::metrics::{MetricError, Metrics};
use settle_service::reload::{Live, Reloader};
use settle_service::shutdown::{Drain, Shutdown};
use settle_service::worker::Workers;
use thiserror::Error;

use crate::config::Config;
use crate::prober::Prober;
use crate::serve::Routes;
use crate::{PROGRAM, REVISION};

/// Connections served at once: scrapers and a few people.
const CONNECTIONS_MAX: usize = 128;

/// A sidecar at work, until the shutdown that it was started with.
#[must_use = "without draining, its tasks are cut off"]
pub struct Sidecar {
    address: SocketAddr,
    workers: Workers,
    drain: Drain,
}

/// Why the sidecar could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its address could not be taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A metric could not be registered, which is a fault of the program.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

// === impl Sidecar ===

impl Sidecar {
    /// Binds the listener and starts all tasks. Neither the daemon nor any peer needs to be there.
    ///
    /// `file` is where the configuration came from, watched and reloaded; `applied` is told of every
    /// new configuration.
    pub async fn start(
        config: Config,
        file: Option<PathBuf>,
        shutdown: Shutdown,
        applied: impl Fn(&Config) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let bound = bind(config.boot.listen, "listen.http").await?;
        let address = bound.address();
        let metrics = Metrics::new(PROGRAM, env!("CARGO_PKG_VERSION"), REVISION)?;
        let live = Live::new(config);
        let reloader = reloader(&metrics, &live, file, applied)?;
        // No parts: readiness depends on nothing but the process itself.
        let readiness = Readiness::new(&[]);
        let failing = readiness.clone();
        let workers = Workers::new(shutdown.clone(), move |worker, panic| failing.fail(worker, panic));
        let prober = Prober::start(&live, &metrics, &workers)?;
        tracing::info!(%address, prober = %prober.name, "sidecar listening");
        let handler = Admin::new(metrics, readiness, Some(reloader.clone()), Routes::new(prober));
        let limits = Limits { connections: CONNECTIONS_MAX, ..Limits::default() };
        let mut drain = Drain::new();
        let stop = shutdown.clone();
        let server = async move {
            let dropped = bound.serve(Arc::new(handler), limits, stop).await;
            if dropped > 0 {
                tracing::warn!(dropped, "connections dropped at shutdown");
            }
        };
        drain.add("http", tokio::spawn(server));
        let watch = async move {
            if let Err(error) = reloader.watch(shutdown).await {
                tracing::error!(%error, "configuration is not watched for changes");
            }
        };
        drain.add("reload", tokio::spawn(watch));
        Ok(Self { address, workers, drain })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until all tasks have ended, at most `deadline` from now; names those that were cut off.
    pub async fn drain(mut self, deadline: Duration) -> Vec<String> {
        self.workers.drain_into(&mut self.drain);
        self.drain.finish(deadline).await
    }
}

fn reloader(
    metrics: &Metrics,
    live: &Live<Config>,
    file: Option<PathBuf>,
    applied: impl Fn(&Config) + Send + Sync + 'static,
) -> Result<Reloader, MetricError> {
    let files = file.iter().cloned().collect();
    let parse = move || Config::load(file.as_deref());
    Reloader::new(metrics, files, live.clone(), parse, Config::changes, applied)
}
