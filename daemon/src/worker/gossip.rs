//! Gossip: which nodes there are, where, and whether they live; SWIM by foca, over UDP on the peer port.
//!
//! foca decides, `runtime` does: it owns the socket, the timers and the randomness. Members are told apart by node id,
//! so a node that comes back elsewhere keeps its slot, and the later life of a node always wins. Only an address is
//! known of a seed, so [`seek`] asks it who it is first, and only then foca announces to it.
//!
//! What arrives is not authenticated: whoever can send to the port can tell lies about members. That matters for who
//! is thought alive, never for data, which travels on the peer links.

mod bind;
mod identity;
mod packet;
mod refused;
mod runtime;
mod seek;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use settle_core::dot::{Epoch, NodeId};
use settle_service::shutdown::Shutdown;
use tokio::net::UdpSocket;
use tokio::sync::watch;

pub use bind::{BindError, bind_both};

use runtime::Agent;

/// How many nodes updates are tuned for; larger clusters need only a little longer to hear of a change.
const CLUSTER_SIZE: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);

/// The start of the gossip.
#[derive(Debug)]
pub struct Gossip;

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its identity.
    pub node: NodeId,
    /// Its name, at most 63 bytes of printable ASCII.
    pub name: String,
    /// Its life; higher than in any life before.
    pub epoch: Epoch,
    /// Where others reach it, TCP and UDP.
    pub peer: SocketAddr,
    /// The cluster's name; others are ignored.
    pub cluster: String,
}

/// A node as the gossip knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its identity.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The newest life of it that was heard of.
    pub epoch: Epoch,
    /// Where it is reached.
    pub peer: SocketAddr,
    /// Whether it lives.
    pub state: State,
}

/// Whether a node lives, as far as the gossip knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Alive,
    /// It did not answer; it is declared dead unless it speaks up soon.
    Suspect,
    /// It did not answer for long, or it said goodbye.
    Dead,
}

/// How fast, and at what cost, changes are noticed.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// One member is probed in each period; one that did not answer by its end, directly or through others, is
    /// suspected. At least twice `probe_rtt`.
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to probe.
    pub probe_rtt: Duration,
    /// How long a suspected member has to speak up.
    pub suspect_to_dead: Duration,
    /// Time between rounds that spread news, while there are any.
    pub spread: Duration,
    /// Time between calls to members thought dead, which heal a cut network.
    pub call_dead: Duration,
    /// Time between calls to the seeds while no other member is known.
    pub seek_alone: Duration,
    /// Time between calls to the seeds otherwise, so that separate groups find each other.
    pub seek: Duration,
}

// === impl Gossip ===

impl Gossip {
    /// Prepares the gossip on `socket`, bound with [`bind_both`]. Must be called within a tokio runtime.
    ///
    /// The list that comes back holds every other node that was heard of, sorted by node; dead ones stay in it until a
    /// later life replaces them. It holds this node itself in one case only: another process runs under this node's
    /// identity in a later life (a restart, or a copied data directory). The gossip has then ended, and the node must
    /// stop.
    ///
    /// The future is to be spawned. It ends soon after `shutdown`; it says goodbye first, so that others need not wait
    /// to find out.
    pub fn start(
        socket: UdpSocket,
        identity: &Identity,
        seeds: Vec<String>,
        tuning: &Tuning,
        shutdown: Shutdown,
    ) -> (watch::Receiver<Arc<Vec<Seen>>>, impl Future<Output = ()> + Send + use<>) {
        let (seen, seen_by_others) = watch::channel(Arc::default());
        let socket = Arc::new(socket);
        let seeker =
            seek::seek(Arc::clone(&socket), identity.clone(), seeds, tuning.clone(), seen.subscribe());
        let agent = Agent::new(socket, identity, tuning, seen);
        let gossip = async move {
            tokio::select! {
                () = agent.run(shutdown) => {}
                // It never ends by itself.
                () = seeker => {}
            }
        };
        (seen_by_others, gossip)
    }
}

// === impl Tuning ===

impl Default for Tuning {
    /// For a cluster in one or a few near datacenters: a crash is noticed in 3 to 5 seconds, at about three packets a
    /// second for each node when all is quiet.
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(700),
            probe_rtt: Duration::from_millis(250),
            suspect_to_dead: Duration::from_millis(2500),
            spread: Duration::from_millis(200),
            call_dead: Duration::from_secs(5),
            seek_alone: Duration::from_secs(1),
            seek: Duration::from_secs(10),
        }
    }
}

impl Tuning {
    fn to_foca(&self) -> foca::Config {
        let mut config = foca::Config::new_lan(CLUSTER_SIZE);
        config.probe_period = self.probe_period;
        config.probe_rtt = self.probe_rtt;
        config.suspect_to_down_after = self.suspect_to_dead;
        // The dead stay listed; one slot for each node, however often it comes back.
        config.remove_down_after = None;
        config.max_packet_size = NonZeroUsize::MIN.saturating_add(packet::PAYLOAD_BYTES_MAX - 1);
        let every = |frequency, members: usize| {
            Some(foca::PeriodicParams {
                frequency,
                num_members: NonZeroUsize::MIN.saturating_add(members - 1),
            })
        };
        config.periodic_gossip = every(self.spread, 3);
        config.periodic_announce = every(self.seek, 1);
        config.periodic_announce_to_down_members = every(self.call_dead, 2);
        config
    }
}

#[cfg(test)]
mod tests;
