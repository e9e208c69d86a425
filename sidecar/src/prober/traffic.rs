//! Reads the own replica's counters of real traffic.

use std::sync::Arc;
use std::time::Duration;

use settle_service::worker::{Next, Worker};

use super::{Prober, READ_DEADLINE};
use crate::clock;
use crate::target::TargetError;

/// The shortest and the longest pause between two readings.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Readings wanted per window.
const PER_WINDOW: u32 = 20;

/// See the module.
pub(super) struct TrafficReader {
    prober: Arc<Prober>,
}

// === impl TrafficReader ===

impl TrafficReader {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        Self { prober }
    }
}

impl Worker for TrafficReader {
    type Error = TargetError;

    fn name(&self) -> &str {
        "traffic"
    }

    async fn work(&mut self) -> Result<Next, TargetError> {
        if self.prober.afford(1, 0).is_ok() {
            match self.prober.target.counters(READ_DEADLINE).await {
                Ok(counters) => self.prober.board.traffic(clock::now(), counters),
                // Discovery, which asks the same replica, says it aloud.
                Err(error) => tracing::debug!(%error, "counters of real traffic cannot be read"),
            }
        }
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        let window = self.prober.live.load().probe.window;
        tokio::time::sleep((window / PER_WINDOW).clamp(PAUSE.0, PAUSE.1)).await;
    }
}
