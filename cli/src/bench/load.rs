//! The load generator: connections that each keep one request under way (a closed loop), generic over
//! what they speak. One task per connection, and nothing shared between them, keeps its own cost low.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Operation, System, grpc, http};
use crate::random::Random;

/// What remains of a request under way when the time is up; what takes longer has failed.
const GRACE: Duration = Duration::from_secs(10);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Attempts at one key while filling, for a cluster that has only just become ready.
const FILL_ATTEMPTS: u32 = 100;

/// The work of a connection besides its requests: reading and writing its socket. Ends with it.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One connection to one node.
pub(super) trait Client: Sized + Send + 'static {
    /// Connects; the driver must be polled for calls to make progress.
    fn connect(node: SocketAddr, level: Arc<str>) -> impl Future<Output = Result<(Self, Driver)>> + Send;

    /// One operation, succeeded only if the reply says so.
    fn call(
        &mut self,
        operation: Operation,
        key: &str,
        value: &Bytes,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) system: System,
    /// Connection `i` goes to node `i` modulo their number.
    pub(super) nodes: Vec<SocketAddr>,
    pub(super) connections: u32,
    /// Of Settle's writes.
    pub(super) level: Arc<str>,
    pub(super) keys: u32,
    pub(super) value: Bytes,
}

/// The part of time whose operations count: those that end within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: Instant,
    pub(super) end: Instant,
    /// Makes the keys of each window others.
    pub(super) seed: u32,
}

/// What came of the operations within the window.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Of each successful operation, in microseconds.
    pub(super) latencies: Vec<u32>,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
}

impl Load {
    /// Runs one operation on random keys, in a closed loop on every connection, until the window ends.
    pub(super) async fn run(&self, operation: Operation, window: Window) -> Result<Tally> {
        match self.system {
            System::Settle => self.run_on::<http::Connection>(operation, window).await,
            System::Etcd => self.run_on::<grpc::Connection>(operation, window).await,
        }
    }

    /// Writes every key once, trying again what fails.
    pub(super) async fn fill(&self) -> Result<()> {
        match self.system {
            System::Settle => self.fill_on::<http::Connection>().await,
            System::Etcd => self.fill_on::<grpc::Connection>().await,
        }
    }

    async fn run_on<C: Client>(&self, operation: Operation, window: Window) -> Result<Tally> {
        let mut tasks = JoinSet::new();
        for (number, node) in (0..self.connections).zip(self.nodes.iter().cycle().copied()) {
            let load = self.clone();
            tasks.spawn(async move { load.closed_loop::<C>(node, operation, window, number).await });
        }
        let mut total = Tally::default();
        while let Some(tally) = tasks.join_next().await {
            total.add(tally.context("a connection's task failed")?);
        }
        Ok(total)
    }

    /// Reconnects until the window has ended.
    async fn closed_loop<C: Client>(
        self,
        node: SocketAddr,
        operation: Operation,
        window: Window,
        number: u32,
    ) -> Tally {
        let mut tally = Tally::default();
        let mut random = Random(u64::from(window.seed) << 32 | u64::from(number));
        while Instant::now() < window.end {
            let requests = async |client: &mut C| {
                let mut start = Instant::now();
                while start < window.end {
                    let key = key(random.below(self.keys));
                    let outcome = client.call(operation, &key, &self.value).await;
                    let end = Instant::now();
                    let broken = outcome.is_err();
                    tally.record(window, start, end, outcome);
                    if broken {
                        break;
                    }
                    start = end;
                }
            };
            let session = with_connection::<C, _>(node, &self.level, requests);
            let ended = match timeout_at(window.end + GRACE, session).await {
                Ok(outcome) => outcome,
                Err(_) => Err(anyhow::anyhow!("no reply from {node} within {GRACE:?} of the end")),
            };
            if let Err(error) = ended {
                tally.fail(&error);
            }
            // Reached only with time left when something failed: do not spin on it.
            if Instant::now() < window.end {
                sleep(RECONNECT_PAUSE).await;
            }
        }
        tally
    }

    async fn fill_on<C: Client>(&self) -> Result<()> {
        let mut tasks = JoinSet::new();
        for (first, node) in (0..self.connections).zip(self.nodes.iter().cycle().copied()) {
            let load = self.clone();
            tasks.spawn(async move { load.fill_part::<C>(node, first).await });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.context("a connection's task failed")??;
        }
        Ok(())
    }

    /// Every key whose number leaves `first` when divided by the number of connections.
    async fn fill_part<C: Client>(self, node: SocketAddr, first: u32) -> Result<()> {
        let mut next = first;
        let mut failure = None;
        for _ in 0..FILL_ATTEMPTS {
            let requests = async |client: &mut C| {
                while next < self.keys {
                    let key = key(next);
                    let call = client.call(Operation::Write, &key, &self.value);
                    timeout(GRACE, call).await.context("no reply to a write")??;
                    next += self.connections;
                }
                anyhow::Ok(())
            };
            match with_connection::<C, _>(node, &self.level, requests).await.flatten() {
                Ok(()) => return Ok(()),
                Err(error) => failure = Some(error),
            }
            sleep(RECONNECT_PAUSE).await;
        }
        match failure {
            Some(error) => Err(error.context(format!("{} takes no writes at {node}", self.system.name()))),
            None => bail!("nothing was tried"),
        }
    }
}

/// Connects and runs the requests, polling the connection's driver in the same task: no hand-off
/// between tasks on the way of a request.
async fn with_connection<C: Client, T>(
    node: SocketAddr,
    level: &Arc<str>,
    requests: impl AsyncFnOnce(&mut C) -> T,
) -> Result<T> {
    let connecting = timeout(CONNECT_DEADLINE, C::connect(node, Arc::clone(level))).await;
    let (mut client, driver) = connecting.with_context(|| format!("no connection to {node}"))??;
    tokio::select! {
        // The driver first: what it reads lets the request continue in the same poll.
        biased;
        () = driver => bail!("{node} closed the connection"),
        outcome = requests(&mut client) => Ok(outcome),
    }
}

/// The name of one of the keys.
fn key(number: u32) -> String {
    format!("key-{number:08}")
}

impl Tally {
    fn record(&mut self, window: Window, start: Instant, end: Instant, outcome: Result<()>) {
        match outcome {
            Err(error) => self.fail(&error),
            Ok(()) if end < window.start || end >= window.end => {}
            Ok(()) => self.latencies.push(u32::try_from((end - start).as_micros()).unwrap_or(u32::MAX)),
        }
    }

    /// Failures count whenever they happen, also while warming up.
    fn fail(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| format!("{error:#}"));
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

#[cfg(test)]
mod tests;
