//! Keeping a connection to each peer.

use std::sync::Arc;
use std::time::Duration;

use settle_service::calm::{Calm, QUIET};
use settle_service::shutdown::Shutdown;
use settle_wire::hello::{Hello, HelloError, RefusalCode};
use settle_wire::link::{Link, LinkError};
use settle_wire::{Ended, Limits};
use tokio::time::sleep;

use crate::node::Node;

use super::{Contact, Peer, buckets};

/// The pause after the first failed attempt; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connects to `peer` again and again until the shutdown. `stop` ends the process, when the peer says that it must.
pub(crate) async fn keep(
    node: Arc<Node>,
    peer: Arc<Peer>,
    hello: Arc<Hello>,
    stop: Shutdown,
    shutdown: Shutdown,
) {
    let mut pause = PAUSE_MIN;
    let calm = Calm::default();
    while !shutdown.is_triggered() {
        let attempt = async {
            match connect(&node, &peer, &hello).await {
                Ok(link) => {
                    pause = PAUSE_MIN;
                    tracing::info!(peer = peer.name, "connected");
                    let reason = until_closed(&node, &peer, &link, &calm).await;
                    peer.disconnected();
                    tracing::info!(peer = peer.name, %reason, "disconnected");
                }
                Err(refused) => {
                    if let Some(error) = refused {
                        report(&node, &peer, &error, &calm, &stop);
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        };
        tokio::select! {
            () = shutdown.wait() => break,
            () = attempt => {}
        }
    }
    peer.disconnected();
}

/// One attempt; `Err(None)` while no address is known.
async fn connect(node: &Node, peer: &Peer, hello: &Hello) -> Result<Arc<super::PeerLink>, Option<LinkError>> {
    let address = peer.address().ok_or(None)?;
    let (link, theirs) = Link::connect(&address.to_string(), hello, Limits::default()).await.map_err(Some)?;
    if theirs.origin.node != peer.node {
        // Another node took the address over; gossip will tell where this one is.
        return Err(None);
    }
    if peer.met(theirs.origin.epoch).is_err() {
        return Err(None);
    }
    let contact = Contact {
        api: theirs.api,
        admin: theirs.admin,
        peer: theirs.peer,
        datacenter: theirs.datacenter,
        zone: theirs.zone,
    };
    for partition in node.partition_ids() {
        // Whatever it told in an earlier life or connection may not hold any more.
        if let Some(mut partition) = node.partition(partition) {
            partition.forget(peer.node);
        }
    }
    peer.buckets.store(Arc::new(theirs.buckets));
    peer.connected(Arc::clone(&link), contact);
    Ok(link)
}

/// Waits for the end of a connection. As long as it lasts, what the two nodes declare differently is said again and
/// again.
async fn until_closed(node: &Node, peer: &Peer, link: &super::PeerLink, calm: &Calm) -> Ended {
    loop {
        if calm.says("buckets").is_some() {
            buckets::report(node, peer);
        }
        tokio::select! {
            reason = link.closed() => return reason,
            () = sleep(QUIET) => {}
        }
    }
}

fn report(node: &Node, peer: &Peer, error: &LinkError, calm: &Calm, stop: &Shutdown) {
    let LinkError::Hello { error: HelloError::ByPeer(refusal), .. } = error else {
        tracing::debug!(peer = peer.name, %error, "peer not reachable");
        return;
    };
    match refusal.code {
        RefusalCode::Name => {
            // Its writes would never reach the cluster that it believes to serve.
            node.must_stop(format!("node {} refused this one: {error}", peer.name));
            stop.trigger();
        }
        RefusalCode::Identity => {
            // Somebody runs on a newer life of this very data directory: whatever this process would write under
            // its older epoch could never be told apart from a copy's.
            node.must_stop(format!("node {} refused this one: {error}", peer.name));
            stop.trigger();
        }
        RefusalCode::Itself => {
            if calm.says(&refusal.text).is_some() {
                tracing::info!(
                    peer = peer.name,
                    "the last known address of this peer is this node's own by now"
                );
            }
        }
        _ => {
            if let Some(left_out) = calm.says(&refusal.text) {
                tracing::error!(peer = peer.name, %error, left_out, "peer refused the connection");
            }
        }
    }
}
