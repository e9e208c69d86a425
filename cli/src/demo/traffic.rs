//! The clients: connections that read, write and delete, and rivals that write one key through two
//! nodes at once, so that conflicts are real.

mod rivals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use settle_wire::http::{Base, Call, Client, ClientLimits, kv};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::random::Random;

/// The bucket of the ordinary clients.
pub(super) const BUCKET: &str = "default";
/// The bucket of the rivals, which keeps concurrent writes as siblings.
pub(super) const RIVALS_BUCKET: &str = "notes";
/// Different keys of the rivals.
pub(super) const RIVALS_KEYS: u32 = 8;

/// How long a server may try, and after that how long a client waits.
const SERVER_TIMEOUT: Duration = Duration::from_millis(1_500);
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a client stays away from a node that failed it.
const AVOIDED: Duration = Duration::from_secs(3);
const CONNECTIONS_PER_NODE: u32 = 3;

/// Traffic that runs until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Traffic {
    counters: Arc<Counters>,
    tasks: JoinSet<()>,
}

/// What the clients saw, since the start.
#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

/// Operations since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) answered: u64,
    pub(super) failed: u64,
}

/// What every client shares.
#[derive(Debug, Clone)]
struct Access {
    client: Client,
    nodes: Arc<[Base]>,
    counters: Arc<Counters>,
}

/// One connection: at one node, and for a while at the next when that one failed.
#[derive(Debug)]
struct Connection {
    access: Access,
    home: usize,
    avoids_home_until: Option<Instant>,
    /// Number of different keys.
    keys: u32,
    random: Random,
}

/// Different keys of the ordinary clients: so many that they rarely meet at one at the same time.
pub(super) fn keys(rate: u32) -> u32 {
    rate.saturating_mul(5).clamp(500, 20_000)
}

/// The name of the ordinary clients' key with this number.
pub(super) fn key(number: u32) -> String {
    format!("key-{number}")
}

/// The name of the rivals' key with this number.
pub(super) fn rivals_key(number: u32) -> String {
    format!("note-{number}")
}

impl Traffic {
    /// Starts `rate` operations per second over all nodes.
    pub(super) fn start(nodes: Arc<[Base]>, rate: u32) -> Self {
        let counters = Arc::new(Counters::default());
        let connections = CONNECTIONS_PER_NODE * u32::try_from(nodes.len()).unwrap_or(1);
        let limits = ClientLimits { idle_connections: connections as usize, ..ClientLimits::default() };
        let access = Access { client: Client::new(limits), nodes, counters: Arc::clone(&counters) };
        let period = Duration::from_secs_f64(f64::from(connections) / f64::from(rate));
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            let connection = Connection {
                access: access.clone(),
                home: number as usize % access.nodes.len().max(1),
                avoids_home_until: None,
                keys: keys(rate),
                random: Random(u64::from(number)),
            };
            tasks.spawn(connection.run(period, period.mul_f64(f64::from(number) / f64::from(connections))));
        }
        tasks.spawn(rivals::run(access, rate));
        Self { counters, tasks }
    }

    /// Ends it, abandoning what is under way.
    pub(super) fn stop(&mut self) {
        self.tasks.abort_all();
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            answered: self.counters.answered.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
        }
    }

    /// What went wrong most recently.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.counters.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Connection {
    async fn run(mut self, period: Duration, offset: Duration) {
        tokio::time::sleep(offset).await;
        let mut due = interval(period);
        // After a stall the clients go on at their rate: they do not make up for it at once.
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let call = self.next_call();
            let node = self.node();
            if self.access.call(node, &call).await.is_none() && node == self.home {
                self.avoids_home_until = Some(Instant::now() + AVOIDED);
            }
        }
    }

    fn node(&self) -> usize {
        let avoids = self.avoids_home_until.is_some_and(|until| Instant::now() < until);
        (self.home + usize::from(avoids)) % self.access.nodes.len().max(1)
    }

    fn next_call(&mut self) -> Call {
        let key = key(self.random.below(self.keys));
        let key = key.as_bytes();
        let value = Bytes::from(format!("value-{:016x}", self.random.next()));
        match self.random.below(100) {
            0..50 => kv::get(BUCKET, key, &options("one"), DEADLINE),
            50..58 => kv::get(BUCKET, key, &options("quorum"), DEADLINE),
            58..86 => kv::put(BUCKET, key, value, &options("one"), DEADLINE),
            86..94 => kv::put(BUCKET, key, value, &options("quorum"), DEADLINE),
            _ => kv::delete(BUCKET, key, &options("one"), DEADLINE),
        }
    }
}

impl Access {
    /// Calls a node and counts it; `None` when it failed.
    async fn call(&self, node: usize, call: &Call) -> Option<settle_wire::http::Response> {
        let base = self.nodes.get(node)?;
        let problem = match self.client.send(base, call).await {
            // No value, or several: answers like any other.
            Ok(answer) if answer.status.is_success() || matches!(answer.status.as_u16(), 300 | 404) => {
                self.counters.answered.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body);
                format!("{base}: status {}: {}", answer.status, text.trim())
            }
            Err(error) => error.to_string(),
        };
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        let mut last = self.counters.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(format!("{} {}: {problem}", call.method, call.path));
        None
    }
}

fn options(level: &str) -> kv::Options<'_> {
    kv::Options { level: Some(level), timeout: Some(SERVER_TIMEOUT), ..kv::Options::default() }
}
