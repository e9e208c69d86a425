//! Asks the own replica who its peers are, and starts the tasks of new ones.

use std::sync::Arc;
use std::time::Duration;

use settle_service::worker::{Next, Worker};

use super::peer::{Poller, Verdicts};
use super::{Prober, READ_DEADLINE};
use crate::clock;
use crate::target::TargetError;

/// From one question to the next.
const INTERVAL: Duration = Duration::from_secs(2);

/// The same until the first answer: at start the replica may be a moment later than the sidecar.
const FIRST_INTERVAL: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Discovery {
    prober: Arc<Prober>,
    /// Whether the last question was answered, so that only changes are logged.
    answered: bool,
    /// What was last logged of a failure since.
    complained: Option<&'static str>,
}

// === impl Discovery ===

impl Discovery {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        Self { prober, answered: false, complained: None }
    }

    async fn ask(&self) -> Result<(), TargetError> {
        let layout = self.prober.target.layout(READ_DEADLINE).await?;
        for peer in self.prober.board.set_layout(layout, clock::now()) {
            let workers = &self.prober.workers;
            workers.spawn(Poller::new(Arc::clone(&self.prober), &peer));
            workers.spawn(Verdicts::new(Arc::clone(&self.prober), &peer));
        }
        Ok(())
    }
}

impl Worker for Discovery {
    type Error = TargetError;

    fn name(&self) -> &str {
        "discovery"
    }

    async fn work(&mut self) -> Result<Next, TargetError> {
        match self.ask().await {
            Ok(()) => {
                if self.complained.take().is_some() {
                    tracing::info!("peers are discovered, own replica answers");
                }
                self.answered = true;
            }
            // The targets stay as they are: a replica that is silent has not left the layout.
            Err(error) => {
                let gist = error.gist();
                if self.complained.replace(gist) != Some(gist) {
                    tracing::warn!(%error, "peers cannot be discovered, own replica {gist}");
                }
            }
        }
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(if self.answered { INTERVAL } else { FIRST_INTERVAL }).await;
    }
}
