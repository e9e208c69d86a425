//! Once per interval: ends what is past its deadline and takes a sample of every peer's lag.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use settle_service::worker::{Next, Worker};

use super::Prober;
use crate::clock;

/// The longest pause between two samples: a breach must not wait for a long probe interval.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Judge {
    prober: Arc<Prober>,
}

// === impl Judge ===

impl Judge {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        Self { prober }
    }
}

impl Worker for Judge {
    type Error = Infallible;

    fn name(&self) -> &str {
        "judge"
    }

    async fn work(&mut self) -> Result<Next, Infallible> {
        self.prober.board.judge(clock::now());
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        let interval = self.prober.live.load().probe.interval;
        tokio::time::sleep(interval.min(PAUSE_MAX)).await;
    }
}
