//! The shell around foca: socket, timers, and the list of members that the rest of the daemon sees.

use std::collections::BTreeMap;
use std::io;
use std::iter::once;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foca::{AccumulatingRuntime, Foca, NoCustomBroadcast, OwnedNotification, PostcardCodec, Timer};
use rand::rngs::StdRng;
use settle_core::dot::NodeId;
use settle_service::shutdown::Shutdown;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::identity::Id;
use super::packet::{ClusterHash, DATAGRAM_BYTES_MAX, Kind, Packet, sealed, sealed_id};
use super::refused::Refused;
use super::{Identity, Seen, State, Tuning};

/// The most nodes that are remembered, dead ones included; more are not let in, so that strangers cannot fill memory.
const NODES_MAX: usize = 1024;

/// Datagrams taken in one go before timers get their turn.
const BURST_MAX: usize = 64;

/// How long a datagram may take to leave before it is given up.
const SEND_MAX: Duration = Duration::from_millis(100);

/// A pause after the socket failed, for such failures do not pass at once.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);

/// One node's part in the gossip.
pub(super) struct Agent {
    foca: Foca<Id, PostcardCodec, StdRng, NoCustomBroadcast>,
    /// What foca wants done, collected during one call.
    wishes: AccumulatingRuntime<Id>,
    /// By due time; the number keeps those of one instant apart and in order.
    timers: BTreeMap<(Instant, u64), Timer<Id>>,
    timers_made: u64,
    /// Answers of ours, not foca's.
    answers: Vec<(SocketAddr, Vec<u8>)>,
    socket: Arc<UdpSocket>,
    cluster: ClusterHash,
    seen: watch::Sender<Arc<Vec<Seen>>>,
    refused: Refused,
    /// A later life of this node, once one was heard of.
    successor: Option<Id>,
}

// === impl Agent ===

impl Agent {
    pub(super) fn new(
        socket: Arc<UdpSocket>,
        identity: &Identity,
        tuning: &Tuning,
        seen: watch::Sender<Arc<Vec<Seen>>>,
    ) -> Self {
        let foca = Foca::new(Id::first(identity), tuning.to_foca(), rand::make_rng(), PostcardCodec);
        Self {
            foca,
            wishes: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            answers: Vec::new(),
            socket,
            cluster: ClusterHash::of(&identity.cluster),
            seen,
            refused: Refused::default(),
            successor: None,
        }
    }

    /// Runs until the shutdown, or until a later life of this node is heard of.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        // One byte more than allowed, so that a datagram cut off by the buffer is seen to be too long.
        let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
        let mut stop = pin!(shutdown.wait());
        while self.successor.is_none() {
            let due = self.timers.first_key_value().map(|((due, _), _)| *due);
            tokio::select! {
                () = &mut stop => return self.leave().await,
                received = self.socket.recv_from(&mut buffer) => self.received(received, &buffer).await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    // After a long pause answers and deadlines are there at once: the answers come first.
                    self.drain(&mut buffer);
                    self.expire();
                }
            }
            self.act().await;
        }
    }

    async fn leave(mut self) {
        let left = self.foca.leave_cluster(&mut self.wishes);
        note(left);
        self.send_all().await;
    }

    async fn received(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
        match received {
            Ok((length, from)) => self.take(buffer.get(..length).unwrap_or_default(), from),
            Err(error) => {
                tracing::debug!(%error, "receiving failed");
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }

    fn drain(&mut self, buffer: &mut [u8]) {
        for _ in 0..BURST_MAX {
            let Ok((length, from)) = self.socket.try_recv_from(buffer) else { return };
            self.take(buffer.get(..length).unwrap_or_default(), from);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let timer = entry.remove();
            note(self.foca.handle_timer(timer, &mut self.wishes));
            self.schedule();
        }
    }

    /// Takes one datagram.
    fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        match Packet::read(datagram, self.cluster) {
            Ok(Packet::Swim { payload, src, about }) => {
                let later = about.iter().find(|id| self.is_successor(id)).cloned();
                if let Some(id) = later {
                    self.successor = Some(id);
                } else if self.admits(&src, from) && self.has_room(once(&src).chain(&about)) {
                    note(self.foca.handle_data(payload, &mut self.wishes));
                }
            }
            Ok(Packet::Hello(id)) => {
                if self.admits(&id, from) && self.is_reachable_for(from) {
                    let own = self.foca.identity().clone();
                    // To where it says that it is, as with all that follows: better to fail now than half way.
                    self.answer(id.peer, Kind::Welcome, &own);
                }
            }
            Ok(Packet::Welcome(id)) => {
                let is_member = self.foca.iter_members().any(|member| *member.id() == id);
                if !is_member && self.admits(&id, from) && self.has_room(once(&id)) {
                    note(self.foca.announce(id, &mut self.wishes));
                }
            }
            Ok(Packet::Newer(id)) => {
                if self.is_successor(&id) {
                    self.successor = Some(id);
                }
            }
            Err(reason) => self.refused.count(reason, from),
        }
    }

    /// Whether a sender is another node in the newest of its lives; an older life is told that it is over.
    fn admits(&mut self, sender: &Id, from: SocketAddr) -> bool {
        if sender.node == self.foca.identity().node {
            let own = self.foca.identity().clone();
            if self.is_successor(sender) {
                self.successor = Some(sender.clone());
            } else if sender.epoch < own.epoch {
                self.answer(from, Kind::Newer, &own);
            }
            return false;
        }
        let newer = self.known(sender.node).filter(|known| known.epoch > sender.epoch).cloned();
        if let Some(newer) = &newer {
            self.answer(from, Kind::Newer, newer);
        }
        newer.is_none()
    }

    fn is_successor(&self, id: &Id) -> bool {
        let own = self.foca.identity();
        id.node == own.node && id.epoch > own.epoch
    }

    fn known(&self, node: NodeId) -> Option<&Id> {
        self.foca.iter_membership_state().map(|member| member.id()).find(|id| id.node == node)
    }

    /// Whether the nodes of a datagram can be remembered.
    fn has_room<'a>(&mut self, ids: impl Iterator<Item = &'a Id>) -> bool {
        let strangers = ids.filter(|id| self.known(id.node).is_none()).count();
        let has_room = self.foca.iter_membership_state().len() + strangers <= NODES_MAX;
        if !has_room {
            self.refused.no_room(NODES_MAX);
        }
        has_room
    }

    /// Whether `from` could use the address that this node tells others.
    fn is_reachable_for(&mut self, from: SocketAddr) -> bool {
        let own = self.foca.identity().peer;
        let reachable = from.ip().to_canonical().is_loopback() || !own.ip().to_canonical().is_loopback();
        if !reachable {
            self.refused.unreachable(own, from);
        }
        reachable
    }

    fn answer(&mut self, to: SocketAddr, kind: Kind, about: &Id) {
        self.answers.extend(sealed_id(self.cluster, kind, about).map(|datagram| (to, datagram)));
    }

    /// Does what one round of input has led to.
    async fn act(&mut self) {
        if let Some(successor) = &self.successor {
            tracing::error!(
                epoch = successor.epoch.0,
                peer = %successor.peer,
                "another process runs under this node's identity in a later life; gossip has ended"
            );
        } else {
            self.send_all().await;
            self.schedule();
        }
        self.report();
        self.publish();
    }

    async fn send_all(&mut self) {
        while let Some((to, payload)) = self.wishes.to_send() {
            self.answers.push((to.peer, sealed(self.cluster, Kind::Swim, &payload)));
        }
        for (to, datagram) in self.answers.drain(..) {
            // One that does not leave is like one that is lost on the way, which the protocol is made for.
            if let Ok(Err(error)) = timeout(SEND_MAX, self.socket.send_to(&datagram, to)).await {
                tracing::debug!(%to, %error, "sending failed");
            }
        }
    }

    fn schedule(&mut self) {
        let now = Instant::now();
        while let Some((delay, timer)) = self.wishes.to_schedule() {
            self.timers_made += 1;
            self.timers.insert((now + delay, self.timers_made), timer);
        }
    }

    fn report(&mut self) {
        while let Some(notification) = self.wishes.to_notify() {
            match notification {
                OwnedNotification::MemberUp(id) => {
                    tracing::info!(name = id.name, peer = %id.peer, "node is up")
                }
                OwnedNotification::MemberDown(id) => {
                    tracing::warn!(name = id.name, peer = %id.peer, "node is down")
                }
                OwnedNotification::Rejoin(_) => tracing::warn!("others thought this node dead; it is back"),
                _ => {}
            }
        }
    }

    fn publish(&self) {
        let members = self.foca.iter_membership_state();
        // foca lists older lives of this node as well, as dead ones.
        let others = members.filter(|member| member.id().node != self.foca.identity().node);
        let mut all: Vec<Seen> = others.map(|member| seen(member.id(), member.state())).collect();
        all.extend(self.successor.iter().map(|id| seen(id, foca::State::Alive)));
        all.sort_by_key(|seen| seen.node);
        self.seen.send_if_modified(|current| {
            let is_new = **current != all;
            if is_new {
                *current = Arc::new(all);
            }
            is_new
        });
    }
}

fn seen(id: &Id, state: foca::State) -> Seen {
    let state = match state {
        foca::State::Alive => State::Alive,
        foca::State::Suspect => State::Suspect,
        foca::State::Down => State::Dead,
    };
    Seen { node: id.node, name: id.name.clone(), epoch: id.epoch, peer: id.peer, state }
}

/// foca survives each of its errors; they are of use only to those who look for a fault in it.
fn note(outcome: Result<(), foca::Error>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "gossip message not taken");
    }
}
