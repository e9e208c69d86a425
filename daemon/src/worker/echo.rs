//! Asking a peer, again and again, what it has: the source of proofs, watermarks and lag.
//!
//! The question leaves at a monotonic moment; the answer holds the peer's durable clocks of a later one. Once this
//! node covers them, it has everything that was acknowledged through the peer before the question. Answers come over
//! the connection that the question left on, so one of an earlier life of either side cannot be taken for a new one.

use std::sync::Arc;
use std::time::Duration;

use settle_core::dot::Origin;
use settle_core::layout::steps::{Position, Standing};
use settle_core::partition::{Moment, Told};
use settle_service::shutdown::Shutdown;
use settle_wire::message::{Answer, EchoReply, Question};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::node::Node;
use crate::peer::Peer;

/// How long an answer is waited for; a peer that is slower than that has no proof to give.
const ANSWER: Duration = Duration::from_secs(5);

/// How far a node is with layouts; `None` while it has none.
type Place = Option<(u64, Position)>;

/// What the last answer was relative to.
#[derive(Debug, Clone, Copy, Default)]
struct Since {
    origin: Option<Origin>,
    tick: u64,
    /// Where the answering node and this one were with layouts then: elsewhere, other partitions are told of.
    places: (Place, Place),
    /// Which connection it came over.
    connection: u64,
}

/// Asks `peer` every `echo.interval` until the shutdown.
pub(crate) async fn run(node: Arc<Node>, peer: Arc<Peer>, shutdown: Shutdown) {
    let mut since = Since::default();
    let mut period = node.config.load().live.echo_interval;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            _ = ticks.tick() => {}
        }
        let wanted = node.config.load().live.echo_interval;
        if wanted != period {
            period = wanted;
            ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = echo(&node, &peer, &mut since) => {}
        }
    }
}

async fn echo(node: &Node, peer: &Peer, since: &mut Since) {
    // Numbered before it is taken: a connection made in between is taken for a new one, not for an old one.
    let connection = peer.connection();
    let Some(link) = peer.link() else { return };
    if since.connection != connection {
        *since = Since { connection, ..Since::default() };
    }
    let asked = clock::now();
    match link.echo(since.tick, ANSWER).await {
        Ok(reply) => {
            if reply.standing.is_some_and(|standing| node.hear_standing(peer.node, standing)) {
                ask_layout(node, peer).await;
            }
            answered(node, peer, since, asked, reply);
        }
        Err(error) => tracing::debug!(peer = peer.name, %error, "no echo"),
    }
}

/// The peer knows of a layout, or of a change, that this node does not know.
async fn ask_layout(node: &Node, peer: &Peer) {
    let Some(link) = peer.link() else { return };
    match link.request(&Question::Layout, ANSWER).await {
        Ok(Answer::Layout(Some(layout))) => {
            if let Err(error) = node.adopt(*layout).await {
                tracing::error!(peer = peer.name, %error, "the peer's layout is not adopted");
            }
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(peer = peer.name, %error, "no layout"),
    }
}

fn answered(node: &Node, peer: &Peer, since: &mut Since, asked: Moment, reply: EchoReply) {
    let now = clock::now();
    peer.answered(asked, now);
    // Relative to nothing, or to an answer of the same life and layouts: otherwise unchanged clocks are unknown ones.
    let relative = since.tick != 0;
    let routes = node.routes_for_request();
    let places = (place(reply.standing), place(routes.standing));
    if relative && (since.origin != Some(reply.origin) || since.places != places) {
        *since = Since { connection: since.connection, ..Since::default() };
        return;
    }
    let mut behind = false;
    let mut changed = reply.changed.into_iter().peekable();
    for id in node.partition_ids() {
        if !routes.of(id).is_shared_with(peer.node) {
            changed.next_if(|(changed, _)| *changed == id);
            continue;
        }
        let Some(mut partition) = node.partition(id) else { continue };
        match changed.next_if(|(changed, _)| *changed == id) {
            Some((_, clock)) => {
                let told = Told { clock, firm: false };
                let _ = partition.told(peer.node, asked, told, now);
            }
            None if relative => partition.told_same(peer.node, asked, now),
            None => {}
        }
        behind |= partition.lacks_from(peer.node) && !routes.of(id).sets.is_empty();
    }
    since.origin = Some(reply.origin);
    since.places = places;
    since.tick = reply.tick;
    if behind && !relative {
        // The first answer of a connection: whatever was missed meanwhile is fetched at once.
        peer.behind.notify_one();
    }
}

fn place(standing: Option<Standing>) -> Place {
    standing.map(|standing| (standing.birth, standing.position))
}
