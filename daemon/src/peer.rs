//! The other nodes: what is known of each, and the connection over which this node asks it.
//!
//! Between two nodes there are two connections, one asked over by each side. Deltas and questions go out on one's
//! own connection, acknowledgements and answers come back on it.

pub(crate) mod buckets;
mod latency;
pub(crate) mod link;
pub(crate) mod listen;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use settle_core::dot::{Epoch, NodeId, Origin};
use settle_core::partition::Moment;
use settle_core::placement::Host;
use settle_core::roster::Member;
use settle_wire::hello::DeclaredBucket;
use settle_wire::link::Link;
use tokio::sync::Notify;

use crate::clock;
use crate::node::Node;
use crate::node::quorum::PeerAck;
use crate::worker::gossip::{Seen, State};

use latency::Latency;

/// A connection to a peer.
pub(crate) type PeerLink = Link<PeerAck>;

/// How long a peer may be silent, at the least, before it counts as down.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Another node of the layout.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its identity.
    pub(crate) node: NodeId,
    /// Its stable name.
    pub(crate) name: String,
    link: ArcSwapOption<PeerLink>,
    /// How many connections there were, the present one included.
    connections: AtomicU64,
    /// When it last answered an echo, in nanoseconds of [`Moment`]; 0 if never.
    answered: AtomicU64,
    /// The smoothed round trip of its echoes, in nanoseconds; 0 if unknown.
    round_trip: AtomicU64,
    /// The newest epoch in which it was met; frames of older ones are refused.
    epoch: AtomicU64,
    /// How long its answers to reads take.
    pub(crate) latency: Latency,
    heard: ArcSwapOption<Seen>,
    contact: ArcSwap<Contact>,
    /// The buckets that it declares, as it told in its last handshake; empty before that.
    buckets: ArcSwap<Vec<DeclaredBucket>>,
    /// Told when an exchange with this peer should not wait for its turn.
    pub(crate) behind: Notify,
}

/// Where a node is and where others reach it, as it told in its handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    /// For clients.
    pub(crate) api: String,
    /// For operators.
    pub(crate) admin: String,
    /// For other nodes.
    pub(crate) peer: String,
    /// The datacenter that it is in.
    pub(crate) datacenter: String,
    /// The zone of that datacenter.
    pub(crate) zone: String,
}

impl Peer {
    /// A peer of which nothing but its name is known.
    pub(crate) fn new(member: Member) -> Self {
        Self {
            node: member.node,
            name: member.name,
            link: ArcSwapOption::empty(),
            connections: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            round_trip: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            latency: Latency::default(),
            heard: ArcSwapOption::empty(),
            contact: ArcSwap::from_pointee(Contact::default()),
            buckets: ArcSwap::default(),
            behind: Notify::new(),
        }
    }

    /// The connection, if there is one.
    pub(crate) fn link(&self) -> Option<Arc<PeerLink>> {
        self.link.load_full()
    }

    /// Numbers the present connection, or the next one.
    pub(crate) fn connection(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// A connection was made.
    pub(crate) fn connected(&self, link: Arc<PeerLink>, contact: Contact) {
        self.contact.store(Arc::new(contact));
        self.connections.fetch_add(1, Ordering::AcqRel);
        self.answered.store(clock::now().0, Ordering::Relaxed);
        self.link.store(Some(link));
    }

    /// The connection ended.
    pub(crate) fn disconnected(&self) {
        self.link.store(None);
    }

    /// Whether it is connected and has answered within `silence_max`.
    pub(crate) fn is_up(&self, now: Moment, silence_max: Duration) -> bool {
        self.link.load().is_some()
            && clock::between(Moment(self.answered.load(Ordering::Relaxed)), now) <= silence_max
    }

    /// It answered an echo that was sent at `asked`.
    pub(crate) fn answered(&self, asked: Moment, now: Moment) {
        let sample = now.0.saturating_sub(asked.0);
        let smoothed = match self.round_trip.load(Ordering::Relaxed) {
            0 => sample,
            // As TCP smooths its round trip (RFC 6298): seven parts old, one part new.
            old => (old - old / 8) + sample / 8,
        };
        self.round_trip.store(smoothed, Ordering::Relaxed);
        self.answered.store(now.0, Ordering::Relaxed);
    }

    /// The smoothed round trip; `None` while unknown.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        Some(self.round_trip.load(Ordering::Relaxed)).filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    }

    /// It was met in `epoch`.
    ///
    /// # Errors
    /// The newest epoch known, if `epoch` is older.
    pub(crate) fn met(&self, epoch: Epoch) -> Result<(), Epoch> {
        let newest = self.epoch.fetch_max(epoch.0, Ordering::AcqRel);
        if newest > epoch.0 { Err(Epoch(newest)) } else { Ok(()) }
    }

    /// What gossip says of it.
    pub(crate) fn heard(&self, seen: &Seen) {
        self.heard.store(Some(Arc::new(seen.clone())));
    }

    /// Where gossip says that it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.heard.load().as_ref().map(|seen| seen.peer)
    }

    /// Its state for people: what gossip says, and whether the connection agrees.
    pub(crate) fn state(&self, is_up: bool) -> &'static str {
        match (is_up, self.heard.load().as_ref().map(|seen| seen.state)) {
            (true, _) => "alive",
            (false, Some(State::Alive | State::Suspect)) => "suspect",
            (false, Some(State::Dead)) => "dead",
            // A member of the stored layout of which this process has not heard: that says nothing about it.
            (false, None) => "unknown",
        }
    }

    /// What placement is to know of it.
    pub(crate) fn host(&self) -> Host {
        let contact = self.contact();
        Host {
            node: self.node,
            name: self.name.clone(),
            datacenter: contact.datacenter.clone(),
            zone: contact.zone.clone(),
            weight: NonZeroU32::MIN,
            holds_data: true,
        }
    }

    /// Where others reach it.
    pub(crate) fn contact(&self) -> Arc<Contact> {
        self.contact.load_full()
    }
}

impl Node {
    /// How long a peer may be silent before it counts as down.
    pub(crate) fn silence_max(&self) -> Duration {
        SILENCE_MIN.max(self.config.load().live.echo_interval * 5)
    }

    /// The other nodes that do not answer at present.
    pub(crate) fn down(&self) -> Vec<NodeId> {
        let (now, silence_max) = (clock::now(), self.silence_max());
        self.peers().iter().filter(|peer| !peer.is_up(now, silence_max)).map(|peer| peer.node).collect()
    }

    /// The peer with this identity.
    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers().iter().find(|peer| peer.node == node).cloned()
    }
    /// Whether no newer process than `origin` was met of that peer. Costs a look at each peer, and no lock.
    pub(crate) fn is_newest(&self, origin: Origin) -> bool {
        let peers = self.peers();
        let peer = peers.iter().find(|peer| peer.node == origin.node);
        peer.is_none_or(|peer| peer.epoch.load(Ordering::Acquire) <= origin.epoch.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_heard_of_is_not_dead() {
        let peer = Peer::new(Member { node: NodeId(2), name: "n2".to_owned() });
        assert_eq!((peer.state(false), peer.state(true)), ("unknown", "alive"));
        let mut seen = Seen {
            node: peer.node,
            name: peer.name.clone(),
            epoch: Epoch(1),
            peer: "127.0.0.1:1".parse().unwrap(),
            state: State::Alive,
        };
        let expected = [(State::Alive, "suspect"), (State::Suspect, "suspect"), (State::Dead, "dead")];
        for (state, word) in expected {
            seen.state = state;
            peer.heard(&seen);
            assert_eq!((peer.state(false), peer.state(true)), (word, "alive"));
        }
    }
}
