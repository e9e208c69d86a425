//! A cluster is born once: the node whose address is the lowest-sorting seed makes the first layout, as soon as it is
//! connected with as many nodes as `cluster.expect` says; all others hear of it. So empty nodes that are started
//! together never make several clusters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use settle_service::shutdown::Shutdown;
use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::clock;
use crate::node::{Node, part};

/// How often an unborn node looks again.
const INTERVAL: Duration = Duration::from_millis(100);

/// How this node is told to others: the address and the text that gave it.
#[derive(Debug, Clone)]
pub(crate) struct OwnAddress {
    /// `advertise.peer`, or what follows from `listen.peer`.
    pub(crate) told: String,
    /// What it resolves to.
    pub(crate) resolved: SocketAddr,
}

/// Waits for the cluster's birth, or makes it; ends when there is a layout.
pub(crate) async fn run(node: Arc<Node>, own: OwnAddress, shutdown: Shutdown) {
    let seed = node.config.load().boot.cluster.seeds.iter().min().cloned();
    loop {
        if node.layout().is_some() {
            return;
        }
        let reason = match missing(&node) {
            Some(reason) => reason,
            None if founds(seed.as_deref(), &own).await => match node.found(rand::random()).await {
                Ok(()) => return,
                Err(error) => format!("the cluster cannot be born: {error}"),
            },
            None => format!(
                "waiting for node {} to make the cluster's first layout: it is the lowest of cluster.seeds, which must be \
                 the same on every node",
                seed.as_deref().unwrap_or_default()
            ),
        };
        if node.layout().is_none() {
            node.readiness.set(part::LAYOUT, Err(reason));
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = sleep(INTERVAL) => {}
        }
    }
}

/// What has to come about before anybody makes a layout.
fn missing(node: &Node) -> Option<String> {
    let roster = node.roster();
    if !roster.is_complete() {
        return Some(format!(
            "{} of {} expected nodes are known (cluster.expect); start the others, or check cluster.seeds",
            roster.members().len(),
            roster.expect
        ));
    }
    let (now, silence_max) = (clock::now(), node.silence_max());
    let peers = node.peers();
    let silent = peers.iter().find(|peer| !peer.is_up(now, silence_max))?;
    Some(format!("not connected with node {} yet, with which the cluster is to be born", silent.name))
}

/// Whether this node is the one that makes the first layout: the lowest seed, or the only node that needs none.
async fn founds(seed: Option<&str>, own: &OwnAddress) -> bool {
    let Some(seed) = seed else { return true };
    if seed == own.told {
        return true;
    }
    match lookup_host(seed).await {
        Ok(mut found) => found.any(|address| address == own.resolved),
        Err(_) => false,
    }
}
