//! Measures, as an outside client, how long a write at `one` takes to be readable at every other replica.
//!
//! Writes one after the other through the first node, and meanwhile reads the key from each other node's own replica,
//! again and again. All times are of this process's monotonic clock. A write's time begins just before it is sent; it
//! became visible at a node between the start of the last read that missed it and the end of the first that showed it.
//! The end is what counts as visibility, the difference is the resolution of this very measurement.
//!
//! `cargo run --release -p settle-daemon --example visibility -- 127.0.0.1:7400 127.0.0.1:7500 127.0.0.1:7600`

use std::error::Error;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use serde_json::{Value, json};
use settle_wire::http::kv::{self, Options};
use settle_wire::http::{Base, Client, ClientLimits, StatusCode};
use tokio::runtime::Runtime;

/// What is measured, and how.
#[derive(Debug, Parser)]
struct Arguments {
    /// API address of the node to write through.
    writer: Base,
    /// API addresses of the other replicas.
    #[arg(required = true)]
    peers: Vec<Base>,
    /// How many writes.
    #[arg(long, default_value_t = 1_000)]
    writes: u64,
    /// Microseconds between two reads of one replica; fewer are finer, and more of a load on the replica.
    #[arg(long, default_value_t = 200)]
    pause_us: u64,
    /// How many keys take turns, spread over the partitions.
    #[arg(long, default_value_t = 64)]
    keys: u64,
    /// Seconds after which a write that is not visible everywhere ends the measurement.
    #[arg(long, default_value_t = 10)]
    deadline_s: u64,
}

/// What a replica is to be watched for.
#[derive(Debug, Clone)]
struct Wanted {
    key: String,
    value: Bytes,
}

/// When a replica showed it.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// The start of the last read that missed it, if any did.
    missed: Option<Instant>,
    /// The end of the first read that showed it.
    seen: Instant,
}

/// A thread that watches one replica.
struct Watcher {
    name: String,
    wanted: SyncSender<Wanted>,
    shown: Receiver<Result<Shown, String>>,
}

/// Seconds, one per write.
#[derive(Debug, Default)]
struct Sample(Vec<f64>);

/// What was measured.
#[derive(Debug, Default)]
struct Measured {
    acked: Sample,
    /// Until the last of the others showed it.
    everywhere: Sample,
    /// Per replica.
    visible: Vec<Sample>,
    resolution: Sample,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let measured = measure(&arguments)?;
    let mut out = std::io::stdout();
    serde_json::to_writer_pretty(&mut out, &report(&arguments, measured))?;
    Ok(writeln!(out)?)
}

fn measure(arguments: &Arguments) -> Result<Measured, Box<dyn Error>> {
    let runtime = runtime()?;
    let client = Client::new(ClientLimits::default());
    let deadline = Duration::from_secs(arguments.deadline_s);
    let pause = Duration::from_micros(arguments.pause_us);
    let watch = |peer: &Base| Watcher::start(peer, pause, deadline);
    let watchers = arguments.peers.iter().map(watch).collect::<Result<Vec<_>, _>>()?;
    let run = std::process::id();
    let at_one = Options { level: Some("one"), ..Options::default() };
    let mut measured = Measured::default();
    measured.visible.resize_with(watchers.len(), Sample::default);
    for number in 0..arguments.writes {
        let key = format!("visibility-{}", number % arguments.keys.max(1));
        let value = Bytes::from(format!("{run} {number}"));
        for watcher in &watchers {
            watcher.wanted.send(Wanted { key: key.clone(), value: value.clone() })?;
        }
        let write = kv::put("default", key.as_bytes(), value, &at_one, deadline);
        let reply = runtime.block_on(client.send(&arguments.writer, &write))?;
        if reply.status != StatusCode::NO_CONTENT {
            return Err(format!("{}: the write got {}", arguments.writer, reply.status).into());
        }
        measured.acked.add(reply.sent, reply.done);
        let mut last = reply.sent;
        for (watcher, visible) in watchers.iter().zip(&mut measured.visible) {
            let shown = watcher.wait(deadline)?;
            visible.add(reply.sent, shown.seen);
            measured.resolution.add(shown.missed.unwrap_or(reply.sent).max(reply.sent), shown.seen);
            last = last.max(shown.seen);
        }
        measured.everywhere.add(reply.sent, last);
    }
    for number in 0..arguments.keys.min(arguments.writes) {
        let key = format!("visibility-{number}");
        let delete = kv::delete("default", key.as_bytes(), &at_one, deadline);
        runtime.block_on(client.send(&arguments.writer, &delete))?;
    }
    Ok(measured)
}

fn report(arguments: &Arguments, measured: Measured) -> Value {
    let Measured { acked, everywhere, visible, resolution } = measured;
    let peers = arguments.peers.iter().zip(visible);
    let peers = peers.map(|(peer, sample)| (peer.to_string(), sample.summary()));
    json!({
        "writes": arguments.writes,
        "visibility_seconds": everywhere.summary(),
        "resolution_seconds": resolution.summary(),
        "acknowledged_seconds": acked.summary(),
        "visibility_seconds_by_replica": peers.collect::<serde_json::Map<_, _>>(),
    })
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Watcher {
    fn start(peer: &Base, pause: Duration, deadline: Duration) -> std::io::Result<Self> {
        let (wanted, jobs) = sync_channel::<Wanted>(1);
        let (results, shown) = sync_channel(1);
        let (base, runtime) = (peer.clone(), runtime()?);
        std::thread::Builder::new().name(format!("watch {peer}")).spawn(move || {
            let client = Client::new(ClientLimits::default());
            while let Ok(wanted) = jobs.recv() {
                let result = watch(&runtime, &client, &base, &wanted, pause, deadline);
                if results.send(result).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { name: peer.to_string(), wanted, shown })
    }

    fn wait(&self, deadline: Duration) -> Result<Shown, String> {
        match self.shown.recv_timeout(deadline * 2) {
            Ok(result) => result.map_err(|reason| format!("{}: {reason}", self.name)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(format!("{}: no longer watched", self.name))
            }
        }
    }
}

/// Reads until the value is there.
fn watch(
    runtime: &Runtime,
    client: &Client,
    base: &Base,
    wanted: &Wanted,
    pause: Duration,
    deadline: Duration,
) -> Result<Shown, String> {
    let own = Options { own_replica: true, ..Options::default() };
    let read = kv::get("default", wanted.key.as_bytes(), &own, deadline);
    let end = Instant::now() + deadline;
    let mut missed = None;
    while Instant::now() < end {
        let reply = runtime.block_on(client.send(base, &read)).map_err(|error| error.to_string())?;
        match reply.status {
            StatusCode::OK if reply.body == wanted.value => return Ok(Shown { missed, seen: reply.done }),
            StatusCode::OK | StatusCode::NOT_FOUND => missed = Some(reply.sent),
            status => return Err(format!("a read got {status}")),
        }
        std::thread::sleep(pause);
    }
    Err(format!("the write was not visible within {deadline:?}"))
}

impl Sample {
    fn add(&mut self, from: Instant, to: Instant) {
        self.0.push(to.saturating_duration_since(from).as_secs_f64());
    }

    /// Quantiles by rank: of 1,000 values the p99 is the 990th.
    fn summary(mut self) -> Value {
        self.0.sort_by(f64::total_cmp);
        let count = self.0.len();
        let quantile = |percent: usize| {
            let rank = (count * percent).div_ceil(100).max(1);
            self.0.get(rank - 1).copied()
        };
        json!({ "p50": quantile(50), "p99": quantile(99), "max": self.0.last() })
    }
}
