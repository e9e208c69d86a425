//! Tests over real sockets on loopback: nodes find each other, notice deaths, returns, and strangers.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// For every wait; far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct TestNode {
    identity: Identity,
    seen: watch::Receiver<Arc<Vec<Seen>>>,
    task: JoinHandle<()>,
    shutdown: Shutdown,
}

impl TestNode {
    /// A node on a socket of its own; epoch 1.
    async fn start(node: u64, seeds: &[SocketAddr]) -> Self {
        let socket = any_socket().await;
        let peer = socket.local_addr().unwrap();
        Self::on(socket, identity(node, 1, peer), seeds, &quick())
    }

    fn on(socket: UdpSocket, identity: Identity, seeds: &[SocketAddr], tuning: &Tuning) -> Self {
        let shutdown = Shutdown::new();
        let seeds = seeds.iter().map(SocketAddr::to_string).collect();
        let (seen, gossip) = Gossip::start(socket, &identity, seeds, tuning, shutdown.clone());
        let task = tokio::spawn(gossip);
        Self { identity, seen, task, shutdown }
    }

    fn peer(&self) -> SocketAddr {
        self.identity.peer
    }

    /// Waits until this node sees exactly these, as (node, epoch, state).
    async fn sees(&mut self, expected: &[(u64, u64, State)]) {
        let mut last = Vec::new();
        let found = self.seen.wait_for(|seen| {
            last = seen.iter().map(|seen| (seen.node.0, seen.epoch.0, seen.state)).collect();
            last == expected
        });
        let outcome = timeout(PATIENCE, found).await.map(|seen| seen.map(drop));
        let node = self.identity.node;
        assert!(matches!(outcome, Ok(Ok(()))), "node {node} sees {last:?}, not {expected:?}");
    }

    /// Stops without a word, and frees the socket.
    async fn vanish(self) -> Identity {
        self.task.abort();
        let _cancelled = self.task.await;
        self.identity
    }
}

fn identity(node: u64, epoch: u64, peer: SocketAddr) -> Identity {
    let (node, epoch) = (NodeId(node), Epoch(epoch));
    Identity { node, name: format!("n{}", node.0), epoch, peer, cluster: "settle".to_owned() }
}

async fn any_socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Fast enough for tests, slow enough for a busy machine; a wrong suspicion heals before [`PATIENCE`] ends.
fn quick() -> Tuning {
    Tuning {
        probe_period: Duration::from_millis(250),
        probe_rtt: Duration::from_millis(100),
        suspect_to_dead: Duration::from_millis(800),
        call_dead: Duration::from_millis(300),
        seek_alone: Duration::from_millis(100),
        seek: Duration::from_millis(500),
        ..Tuning::default()
    }
}

#[tokio::test]
async fn three_find_each_other_through_one_seed() {
    let mut seed = TestNode::start(1, &[]).await;
    let mut second = TestNode::start(2, &[seed.peer()]).await;
    let mut third = TestNode::start(3, &[seed.peer()]).await;
    seed.sees(&[(2, 1, State::Alive), (3, 1, State::Alive)]).await;
    second.sees(&[(1, 1, State::Alive), (3, 1, State::Alive)]).await;
    third.sees(&[(1, 1, State::Alive), (2, 1, State::Alive)]).await;
    let heard = third.seen.borrow().first().cloned().unwrap();
    assert_eq!((heard.name.as_str(), heard.peer), ("n1", seed.peer()));
}

#[tokio::test]
async fn the_seed_may_start_last() {
    let socket = any_socket().await;
    let address = socket.local_addr().unwrap();
    let mut second = TestNode::start(2, &[address]).await;
    let mut third = TestNode::start(3, &[address]).await;
    // It names itself as a seed, as it would with one configuration for all.
    let mut seed = TestNode::on(socket, identity(1, 1, address), &[address], &quick());
    second.sees(&[(1, 1, State::Alive), (3, 1, State::Alive)]).await;
    third.sees(&[(1, 1, State::Alive), (2, 1, State::Alive)]).await;
    seed.sees(&[(2, 1, State::Alive), (3, 1, State::Alive)]).await;
}

#[tokio::test]
async fn a_silent_node_dies_and_its_next_life_replaces_it() {
    let mut first = TestNode::start(1, &[]).await;
    let mut second = TestNode::start(2, &[first.peer()]).await;
    let third = TestNode::start(3, &[first.peer()]).await;
    first.sees(&[(2, 1, State::Alive), (3, 1, State::Alive)]).await;
    second.sees(&[(1, 1, State::Alive), (3, 1, State::Alive)]).await;
    let gone = third.vanish().await;
    first.sees(&[(2, 1, State::Alive), (3, 1, State::Dead)]).await;
    second.sees(&[(1, 1, State::Alive), (3, 1, State::Dead)]).await;
    let socket = UdpSocket::bind(gone.peer).await.unwrap();
    let mut third = TestNode::on(socket, identity(3, 2, gone.peer), &[first.peer()], &quick());
    first.sees(&[(2, 1, State::Alive), (3, 2, State::Alive)]).await;
    second.sees(&[(1, 1, State::Alive), (3, 2, State::Alive)]).await;
    third.sees(&[(1, 1, State::Alive), (2, 1, State::Alive)]).await;
    // And once more, elsewhere and before anybody noticed.
    third.vanish().await;
    let socket = any_socket().await;
    let address = socket.local_addr().unwrap();
    let _third = TestNode::on(socket, identity(3, 3, address), &[second.peer()], &quick());
    first.sees(&[(2, 1, State::Alive), (3, 3, State::Alive)]).await;
    assert_eq!(first.seen.borrow().last().map(|seen| seen.peer), Some(address));
}

#[tokio::test]
async fn a_goodbye_needs_no_probe() {
    let never = Duration::from_secs(3600);
    let patient = Tuning { probe_period: never, suspect_to_dead: never, ..quick() };
    let (one, two) = (any_socket().await, any_socket().await);
    let (one_at, two_at) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    let mut stays = TestNode::on(one, identity(1, 1, one_at), &[], &patient);
    let mut leaves = TestNode::on(two, identity(2, 1, two_at), &[one_at], &patient);
    stays.sees(&[(2, 1, State::Alive)]).await;
    leaves.sees(&[(1, 1, State::Alive)]).await;
    leaves.shutdown.trigger();
    timeout(PATIENCE, leaves.task).await.unwrap().unwrap();
    stays.sees(&[(2, 1, State::Dead)]).await;
}

#[tokio::test]
async fn an_older_life_ends_and_says_so() {
    let mut first = TestNode::start(1, &[]).await;
    let socket = any_socket().await;
    let address = socket.local_addr().unwrap();
    let _new = TestNode::on(socket, identity(2, 7, address), &[first.peer()], &quick());
    first.sees(&[(2, 7, State::Alive)]).await;
    let mut old = TestNode::start(2, &[first.peer()]).await;
    old.sees(&[(2, 7, State::Alive)]).await;
    timeout(PATIENCE, old.task).await.expect("it goes on").unwrap();
    first.sees(&[(2, 7, State::Alive)]).await;
}

#[tokio::test]
async fn strangers_and_noise_are_ignored() {
    let mut first = TestNode::start(1, &[]).await;
    let socket = any_socket().await;
    let address = socket.local_addr().unwrap();
    let foreign = Identity { cluster: "other".to_owned(), ..identity(9, 1, address) };
    let mut stranger = TestNode::on(socket, foreign, &[first.peer()], &quick());
    let noise = any_socket().await;
    for length in 0..1500 {
        noise.send_to(&vec![b'S'; length], first.peer()).await.unwrap();
    }
    // It says hello several times before the other two have found each other and know each other well.
    let mut second = TestNode::start(2, &[first.peer()]).await;
    first.sees(&[(2, 1, State::Alive)]).await;
    second.sees(&[(1, 1, State::Alive)]).await;
    let third = TestNode::start(3, &[second.peer()]).await;
    first.sees(&[(2, 1, State::Alive), (3, 1, State::Alive)]).await;
    third.vanish().await;
    first.sees(&[(2, 1, State::Alive), (3, 1, State::Dead)]).await;
    stranger.sees(&[]).await;
}

/// A node that cannot hear for a while, as when it is stopped: both sides think the other dead, and find back.
#[tokio::test]
async fn a_cut_heals() {
    let (inside, outside) = (any_socket().await, Arc::new(any_socket().await));
    let (target, told) = (inside.local_addr().unwrap(), outside.local_addr().unwrap());
    let is_cut = Arc::new(AtomicBool::new(false));
    let relay = tokio::spawn(relay(outside, target, Arc::clone(&is_cut)));
    let mut first = TestNode::start(1, &[]).await;
    let mut deaf = TestNode::on(inside, identity(2, 1, told), &[], &quick());
    let mut third = TestNode::start(3, &[first.peer(), told]).await;
    first.sees(&[(2, 1, State::Alive), (3, 1, State::Alive)]).await;
    deaf.sees(&[(1, 1, State::Alive), (3, 1, State::Alive)]).await;
    is_cut.store(true, Ordering::SeqCst);
    first.sees(&[(2, 1, State::Dead), (3, 1, State::Alive)]).await;
    deaf.sees(&[(1, 1, State::Dead), (3, 1, State::Dead)]).await;
    is_cut.store(false, Ordering::SeqCst);
    first.sees(&[(2, 1, State::Alive), (3, 1, State::Alive)]).await;
    deaf.sees(&[(1, 1, State::Alive), (3, 1, State::Alive)]).await;
    third.sees(&[(1, 1, State::Alive), (2, 1, State::Alive)]).await;
    relay.abort();
}

/// Hands on what arrives at `outside`, unless it is cut.
async fn relay(outside: Arc<UdpSocket>, target: SocketAddr, is_cut: Arc<AtomicBool>) {
    let mut buffer = [0; 2048];
    while let Ok((length, _)) = outside.recv_from(&mut buffer).await {
        if !is_cut.load(Ordering::SeqCst) {
            outside.send_to(&buffer[..length], target).await.unwrap();
        }
    }
}
