//! Clients that write as fast as they are answered, until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::{CallError, Client};
use super::oracle::{KeyHistory, Outcome, State, Violation, state_of, value};
use super::random::Random;
use super::wait::{PATIENCE, wait_for};

/// One write in so many is a delete.
const DELETE_ONE_IN: u64 = 6;

/// The pause after a refusal or a lost connection, so that a node that is down is not hammered.
const PAUSE: Duration = Duration::from_millis(5);

/// What the clients know of their keys, between two loads.
#[derive(Debug)]
pub(crate) struct Histories(Vec<Vec<KeyHistory>>);

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    clients: Vec<JoinHandle<Vec<KeyHistory>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    acked: AtomicU64,
    in_doubt: AtomicU64,
}

impl Histories {
    /// `clients` clients with `keys` keys each.
    pub(crate) fn new(clients: usize, keys: usize) -> Self {
        let of = |client| (0..keys).map(|key| KeyHistory::new(format!("c{client}-k{key}"))).collect();
        Self((0..clients).map(of).collect())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(|history| history.key.as_str())
    }

    /// Reads every key with `read` and compares, while writes in doubt may still be on their way.
    ///
    /// # Panics
    /// With everything that contradicts what clients were told.
    pub(crate) fn check(&self, mut read: impl FnMut(&str) -> State) {
        let histories = self.0.iter().flatten();
        report(histories.filter_map(|history| history.allows(read(&history.key)).err()));
    }

    /// As [`Histories::check`] when nothing is on its way any more; from now on what was found must stay.
    ///
    /// # Panics
    /// As for [`Histories::check`].
    pub(crate) fn settle(&mut self, mut read: impl FnMut(&str) -> State) {
        let histories = self.0.iter_mut().flatten();
        report(histories.filter_map(|history| history.settle(read(&history.key)).err()));
    }
}

fn report(wrong: impl Iterator<Item = Violation>) {
    let lines: Vec<String> = wrong.map(|violation| violation.to_string()).collect();
    assert!(lines.is_empty(), "{} keys are wrong:\n{}", lines.len(), lines.join("\n"));
}

impl Load {
    /// Each client writes its own keys; the n-th begins at the n-th address, and changes it when its node fails.
    /// `query` goes with every call. A key whose write is in doubt is left alone.
    pub(crate) fn start(
        histories: Histories,
        addresses: &[SocketAddr],
        query: &'static str,
        random: &mut Random,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = histories.0.into_iter().enumerate().map(|(number, keys)| {
            let mut addresses = addresses.to_vec();
            let first = number % addresses.len();
            addresses.rotate_left(first);
            let (shared, random) = (Arc::clone(&shared), random.split());
            std::thread::spawn(move || run(keys, &addresses, query, random, &shared))
        });
        Self { clients: clients.collect(), shared }
    }

    /// Waits until `more` further writes were acknowledged.
    pub(crate) fn wait_acked(&self, more: u64) {
        let goal = self.shared.acked.load(Ordering::Relaxed) + more;
        wait_for(&format!("{more} further writes are acknowledged"), PATIENCE, || {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client has failed, see above");
            (self.shared.acked.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    /// Ends the clients; returns their histories, and how many writes were acknowledged and are in doubt.
    pub(crate) fn stop(self) -> (Histories, u64, u64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let histories = self.clients.into_iter().map(|client| client.join().expect("a client failed"));
        let histories = Histories(histories.collect());
        (histories, self.shared.acked.load(Ordering::Relaxed), self.shared.in_doubt.load(Ordering::Relaxed))
    }
}

/// Reads keys at one address with `query`.
pub(crate) fn reader(address: SocketAddr, query: &str) -> impl FnMut(&str) -> State {
    let mut client = Client::new(address);
    move |key| {
        let reply = client.get(&path(key, query));
        state_of(key, reply.status, &reply.body)
    }
}

fn path(key: &str, query: &str) -> String {
    format!("/v1/kv/default/{key}?{query}")
}

fn run(
    mut keys: Vec<KeyHistory>,
    addresses: &[SocketAddr],
    query: &str,
    mut random: Random,
    shared: &Shared,
) -> Vec<KeyHistory> {
    let mut turn = 0;
    let mut client = Client::new(addresses[0]);
    while !shared.stop.load(Ordering::Relaxed) {
        let free: Vec<&mut KeyHistory> = keys.iter_mut().filter(|key| !key.is_doubtful()).collect();
        let count = free.len() as u64;
        assert!(count > 0, "every key is in doubt; use more keys");
        let history = free.into_iter().nth(random.below(count) as usize).unwrap();
        let number = history.next();
        let (state, reply) = if random.below(DELETE_ONE_IN) == 0 {
            (State::Absent, client.call("DELETE", &path(&history.key, query), &[], b""))
        } else {
            let body = value(&history.key, number);
            (State::Value(number), client.call("PUT", &path(&history.key, query), &[], &body))
        };
        let outcome = match reply {
            Ok(reply) => match reply.status {
                204 => Outcome::Acked,
                503 => Outcome::Refused,
                504 => Outcome::InDoubt,
                other => panic!("{}: {other} {}", history.key, reply.text()),
            },
            Err(CallError::NotSent(_)) => Outcome::Refused,
            Err(CallError::Lost(_)) => Outcome::InDoubt,
        };
        history.ended(state, outcome);
        match outcome {
            Outcome::Acked => {
                shared.acked.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Outcome::InDoubt => {
                shared.in_doubt.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused => {}
        }
        turn += 1;
        client = Client::new(addresses[turn % addresses.len()]);
        std::thread::sleep(PAUSE);
    }
    keys
}
