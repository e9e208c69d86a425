//! Asks the own replica who its peers are, and starts the tasks of new ones.

use std::sync::Arc;
use std::time::Duration;

use settle_service::worker::{Next, Worker};

use super::peer::{Poller, Verdicts};
use super::{Listener, Prober, READ_DEADLINE};
use crate::clock;
use crate::target::{Symptom, TargetError};

/// From one question to the next.
const INTERVAL: Duration = Duration::from_secs(2);

/// The same while nobody has answered yet: at start the replica may be a moment later than the sidecar.
const FIRST_INTERVAL: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Discovery {
    prober: Arc<Prober>,
    /// How long to wait before the next question.
    pause: Duration,
    /// What was last logged of a failure since the last answer, so that only changes are.
    complained: Option<Symptom>,
}

// === impl Discovery ===

impl Discovery {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        Self { prober, pause: FIRST_INTERVAL, complained: None }
    }

    async fn ask(&self) -> Result<(), TargetError> {
        let (prober, keys) = (&self.prober, self.prober.live.load().probe.keys);
        let layout = prober.target.layout(|slot| prober.key(slot), keys, READ_DEADLINE).await;
        self.prober.board.heard(Listener::Admin, layout.as_ref().err());
        for peer in self.prober.board.set_layout(layout?, clock::now()) {
            let workers = &self.prober.workers;
            workers.spawn(Poller::new(Arc::clone(&self.prober), &peer));
            workers.spawn(Verdicts::new(Arc::clone(&self.prober), &peer));
        }
        Ok(())
    }

    fn complain(&mut self, error: &TargetError) {
        let symptom = error.symptom();
        if symptom == Symptom::WrongListener {
            // Not a matter of moments: somebody has to correct it.
            self.pause = INTERVAL;
        }
        if self.complained.replace(symptom) == Some(symptom) {
            return;
        }
        let advice = Listener::Admin.advice(symptom);
        match symptom {
            Symptom::WrongListener => {
                tracing::error!(%error, advice, "peers cannot be discovered, own replica {symptom}");
            }
            Symptom::Silence | Symptom::Refusal | Symptom::Nonsense => {
                tracing::warn!(%error, advice, "peers cannot be discovered, own replica {symptom}");
            }
        }
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
                self.pause = INTERVAL;
            }
            // The targets stay as they are: a replica that is silent has not left the layout.
            Err(error) => self.complain(&error),
        }
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.pause).await;
    }
}
