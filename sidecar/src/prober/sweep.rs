//! Keeps the reserved bucket small: deletes what earlier runs left under the own name, the rings of
//! probers that fell silent, and own slots that are no longer used. Counts the keys that exist.
//!
//! Whether a ring is silent is judged by its values standing still on this prober's own clock, for as
//! long as the ring itself says; no two hosts' clocks are compared.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settle_service::worker::{Next, Worker};
use settle_wire::http::Base;

use super::ring::{self, Value};
use super::{Listener, POLL_RESERVE, Prober, READ_DEADLINE};
use crate::config::Probe;
use crate::target::TargetError;
use crate::verdict::Slot;

/// Pages of keys read in one pass; a bucket with more has its remaining keys left for the next ones.
const PAGES_MAX: usize = 20;

/// Rings of others looked at in one pass.
const RINGS_MAX: usize = 10;

/// The shortest pause between two passes.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// A value of an unknown form counts as abandoned after this long.
const SILENT_AFTER_DEFAULT: Duration = Duration::from_secs(600);

/// How long a ring with these settings may stand still before it counts as abandoned: ten deadlines,
/// but no less than three laps, for a long ring is slow to come round.
pub(super) fn silent_after(probe: &Probe) -> Duration {
    let lap = probe.interval.saturating_mul(probe.keys);
    probe.deadline.saturating_mul(10).max(lap.saturating_mul(3))
}

/// Deletes what an earlier run left under this prober's name; true when nothing is left.
pub(super) async fn sweep_own(prober: &Prober, own: &Base) -> Result<bool, TargetError> {
    if prober.live.load().boot.name.is_none() {
        // The name is as new as the run.
        return Ok(true);
    }
    let outcome = async {
        let keys = list(prober, own, &ring::prefix(&prober.name)).await?;
        let mine = |key: &&Key| key.name == prober.name.as_str();
        delete(prober, own, keys.iter().filter(mine)).await
    };
    // No canary is written before, so nobody else would tell of a failure.
    outcome.await.inspect_err(|error| prober.board.heard(Listener::Api, Some(error)))
}

/// See the module.
pub(super) struct Sweeper {
    prober: Arc<Prober>,
    /// Rings of others, by name.
    others: BTreeMap<String, Watched>,
    /// The last ring looked at, so that all get their turn.
    cursor: String,
}

/// A ring of someone else, judged by one of its keys.
#[derive(Debug)]
struct Watched {
    value: Vec<u8>,
    /// When this value was first seen.
    since: Instant,
}

/// A canary's key, taken apart.
#[derive(Debug)]
struct Key {
    name: String,
    slot: Slot,
    /// As the replica knows it.
    key: String,
}

async fn list(prober: &Prober, own: &Base, prefix: &str) -> Result<Vec<Key>, TargetError> {
    let mut all = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = prober.target.keys(own, prefix, cursor.as_deref(), READ_DEADLINE).await?;
        all.extend(page.keys.into_iter().filter_map(|key| {
            let (name, slot) = ring::parse_key(&key).map(|(name, slot)| (name.to_owned(), slot))?;
            Some(Key { name, slot, key })
        }));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Deletes these keys, as far as the budget allows now; true when none is left.
async fn delete(prober: &Prober, own: &Base, keys: impl Iterator<Item = &Key>) -> Result<bool, TargetError> {
    for key in keys {
        if prober.afford(1, POLL_RESERVE).is_err() {
            return Ok(false);
        }
        prober.target.delete(own, &key.key, READ_DEADLINE).await?;
    }
    Ok(true)
}

// === impl Sweeper ===

impl Sweeper {
    pub(super) fn new(prober: Arc<Prober>) -> Self {
        Self { prober, others: BTreeMap::new(), cursor: String::new() }
    }

    async fn pass(&mut self, own: &Base) -> Result<(), TargetError> {
        let keys = list(&self.prober, own, "").await?;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand keys at most")]
        self.prober.board.metrics.canary_keys.set(keys.len() as f64);
        let name = self.prober.name.as_str();
        // After the ring or the layout has changed. A peer that still owes something there is waited for.
        let board = &self.prober.board;
        let unused = |key: &&Key| key.name == name && !board.has_slot(key.slot) && !board.needs(key.slot);
        delete(&self.prober, own, keys.iter().filter(unused)).await?;
        self.sweep_others(own, &keys).await
    }

    async fn sweep_others(&mut self, own: &Base, keys: &[Key]) -> Result<(), TargetError> {
        let mut rings: BTreeMap<&str, &Key> = BTreeMap::new();
        for key in keys.iter().filter(|key| key.name != self.prober.name.as_str()) {
            rings.entry(&key.name).or_insert(key);
        }
        self.others.retain(|name, _| rings.contains_key(name.as_str()));
        let after = (Bound::Excluded(self.cursor.as_str()), Bound::Unbounded);
        let turn: Vec<&Key> = rings.range::<str, _>(after).map(|(_, key)| *key).take(RINGS_MAX).collect();
        let more = turn.last().filter(|_| turn.len() == RINGS_MAX);
        self.cursor = more.map(|key| key.name.clone()).unwrap_or_default();
        for key in turn {
            let answer = self.prober.target.read(own, &key.key, READ_DEADLINE).await?;
            let value = answer.value.unwrap_or_default();
            if self.is_silent(&key.name, &value, answer.done) {
                let of_ring = keys.iter().filter(|other| other.name == key.name);
                let all = delete(&self.prober, own, of_ring).await?;
                tracing::info!(ring = key.name, all, "silent ring of canary keys swept");
            }
        }
        Ok(())
    }

    fn is_silent(&mut self, name: &str, value: &[u8], now: Instant) -> bool {
        let silent_after = Value::decode(value).map_or(SILENT_AFTER_DEFAULT, |value| value.silent_after);
        match self.others.get(name) {
            Some(watched) if watched.value == value => {
                now.saturating_duration_since(watched.since) >= silent_after
            }
            _ => {
                self.others.insert(name.to_owned(), Watched { value: value.to_vec(), since: now });
                false
            }
        }
    }
}

impl Worker for Sweeper {
    type Error = Infallible;

    fn name(&self) -> &str {
        "sweep"
    }

    async fn work(&mut self) -> Result<Next, Infallible> {
        if let Some(layout) = self.prober.board.layout()
            && let Err(error) = self.pass(&layout.own.api).await
        {
            tracing::debug!(%error, "canary keys cannot be listed or swept");
        }
        Ok(Next::Wait)
    }

    async fn wait(&mut self) {
        let deadline = self.prober.live.load().probe.deadline;
        let first = self.prober.board.metrics.canary_keys.get().is_nan();
        // The first count should not wait for long.
        let pause = if first { Duration::from_secs(1) } else { deadline.max(PAUSE_MIN) };
        tokio::time::sleep(pause).await;
    }
}
