//! Clients that write and read back without a pause: every read must show what its client was told, and nothing may go
//! back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::{CallError, Client, Reply};
use super::wait::{PATIENCE, wait_for};

/// Keys of each client.
const KEYS: u64 = 12;

/// The pause after a call that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a call is tried that is refused since too few replicas are seen to be alive, and the pause between: on a slow
/// day one may be silent for a moment.
const TRIES: usize = 5;
const TRY_PAUSE: Duration = Duration::from_millis(300);

/// Clients at work. Each has keys of its own, writes one after the other through any node, and reads each back through
/// another one, both at quorum. Between them it reads keys at rest, which hold their names.
#[derive(Debug)]
pub(crate) struct Steady {
    clients: Vec<JoinHandle<Vec<Key>>>,
    shared: Arc<Shared>,
}

/// What the clients share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    rounds: AtomicU64,
    addresses: Mutex<Vec<SocketAddr>>,
    at_rest: Vec<String>,
    /// Calls that were not answered with success.
    failed: Mutex<Vec<String>>,
    /// Reads that showed less than was known.
    wrong: Mutex<Vec<String>>,
}

/// A key and what is known of it.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The number of its last write.
    tried: u64,
    /// What a read must show at least: the last write that was acknowledged, or shown.
    known: u64,
}

impl Steady {
    /// `clients` clients of the nodes at `addresses`.
    pub(crate) fn start(clients: u64, addresses: &[SocketAddr], at_rest: Vec<String>) -> Self {
        let addresses = Mutex::new(addresses.to_vec());
        let shared = Arc::new(Shared { addresses, at_rest, ..Shared::default() });
        let run = |client| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || run(client, &shared))
        };
        Self { clients: (0..clients).map(run).collect(), shared }
    }

    /// From now on the clients go to these nodes.
    pub(crate) fn go_to(&self, addresses: &[SocketAddr]) {
        *self.shared.addresses.lock().unwrap() = addresses.to_vec();
    }

    /// Waits until `more` further writes were made and read back.
    pub(crate) fn wait_rounds(&self, more: u64) {
        let goal = self.shared.rounds.load(Ordering::Relaxed) + more;
        wait_for(&format!("{more} further rounds"), PATIENCE, || {
            (self.shared.rounds.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Ends the clients; returns their keys, and the calls that failed.
    ///
    /// # Panics
    /// When a read showed less than its client knew.
    pub(crate) fn stop(self) -> (Vec<Key>, Vec<String>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let keys = self.clients.into_iter().flat_map(|client| client.join().expect("a client failed"));
        let keys = keys.collect();
        let wrong = self.shared.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let failed = std::mem::take(&mut *self.shared.failed.lock().unwrap());
        (keys, failed)
    }
}

impl Key {
    /// Reads it at quorum.
    ///
    /// # Panics
    /// When it shows less than is known.
    pub(crate) fn check(&self, client: &mut Client) {
        let reply = client.get(&path(&self.name));
        let shown = if reply.status == 404 { 0 } else { number(&reply.expect(200).body) };
        assert!((self.known..=self.tried).contains(&shown), "{self:?}: {shown}");
    }

    /// Whether a write of it was acknowledged.
    pub(crate) fn is_written(&self) -> bool {
        self.known > 0
    }
}

fn path(key: &str) -> String {
    format!("/v1/kv/default/{key}?level=quorum&timeout=20s")
}

/// A call; what is refused before anything was done is tried again.
fn call(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<Reply, CallError> {
    let mut client = Client::new(address);
    for _ in 1..TRIES {
        match client.call(method, path, &[], body) {
            Ok(reply) if reply.status == 503 => std::thread::sleep(TRY_PAUSE),
            ended => return ended,
        }
    }
    client.call(method, path, &[], body)
}

fn number(body: &[u8]) -> u64 {
    String::from_utf8_lossy(body).parse().expect("a number was written")
}

fn run(client: u64, shared: &Shared) -> Vec<Key> {
    let name = |key| format!("c{client}-k{key}");
    let mut keys: Vec<Key> = (0..KEYS).map(|key| Key { name: name(key), tried: 0, known: 0 }).collect();
    let mut turn = client;
    let mut next = |shared: &Shared| {
        turn += 1;
        let addresses = shared.addresses.lock().unwrap();
        addresses[turn as usize % addresses.len()]
    };
    let failed = |what: String| {
        shared.failed.lock().unwrap().push(what);
        std::thread::sleep(PAUSE);
    };
    for at in (0..keys.len()).cycle() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let key = &mut keys[at];
        key.tried += 1;
        let path = path(&key.name);
        match call(next(shared), "PUT", &path, key.tried.to_string().as_bytes()) {
            Ok(reply) if reply.status == 204 => key.known = key.tried,
            Ok(reply) => failed(format!("PUT {path}: {} {}", reply.status, reply.text())),
            Err(error) => failed(format!("PUT {path}: {error}")),
        }
        match call(next(shared), "GET", &path, b"") {
            Ok(reply) if reply.status == 200 || reply.status == 404 => {
                let shown = if reply.status == 200 { number(&reply.body) } else { 0 };
                if !(key.known..=key.tried).contains(&shown) {
                    let wrong = format!("{key:?} shows {shown}");
                    shared.wrong.lock().unwrap().push(wrong);
                }
                key.known = key.known.max(shown);
            }
            Ok(reply) => failed(format!("GET {path}: {} {}", reply.status, reply.text())),
            Err(error) => failed(format!("GET {path}: {error}")),
        }
        let round = shared.rounds.fetch_add(1, Ordering::Relaxed);
        let key = &shared.at_rest[round as usize % shared.at_rest.len()];
        match call(next(shared), "GET", &self::path(key), b"") {
            Ok(reply) if reply.status == 200 && reply.body == key.as_bytes() => {}
            Ok(reply) if reply.status == 200 || reply.status == 404 => {
                shared.wrong.lock().unwrap().push(format!("{key} shows {:?}", reply.text()));
            }
            Ok(reply) => failed(format!("GET {key}: {} {}", reply.status, reply.text())),
            Err(error) => failed(format!("GET {key}: {error}")),
        }
    }
    keys
}
