//! Growth by itself: a node that has joined the cluster gets its share of the data, unless `cluster.auto_grow` is off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use settle_core::dot::NodeId;
use settle_core::layout::steps::LayoutState;
use settle_core::placement::Host;
use settle_service::shutdown::Shutdown;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::node::Node;
use crate::node::propose::ProposeError;

const INTERVAL: Duration = Duration::from_millis(500);

/// How long a node must have been there: one that comes and goes would move data to and fro, and several that are started
/// together make one change.
const UP: Duration = Duration::from_secs(3);

/// The pause after a change that did not begin.
const PAUSE: Duration = Duration::from_secs(5);

/// Works until the shutdown.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    let mut up = BTreeMap::new();
    let mut pause = INTERVAL;
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = sleep(pause) => {}
        }
        pause = INTERVAL;
        let Some(state) = node.layout() else { continue };
        watch(&node, &mut up);
        let Some((hosts, joining)) = grown(&node, &state, &up) else { continue };
        tracing::info!(nodes = joining.join(", "), "nodes have joined and get their share of the data");
        match node.propose(hosts).await {
            Ok(summary) => tracing::info!(moves = summary.moves, "the layout changes"),
            Err(error @ ProposeError::InProgress { .. }) => tracing::debug!(%error, "no growth"),
            Err(error) => {
                tracing::warn!(%error, "the layout does not change");
                pause = PAUSE;
            }
        }
    }
}

/// Takes note of since when each peer has been up.
fn watch(node: &Node, up: &mut BTreeMap<NodeId, Instant>) {
    let (now, silence_max) = (clock::now(), node.silence_max());
    for peer in node.peers().iter() {
        if peer.is_up(now, silence_max) {
            up.entry(peer.node).or_insert_with(Instant::now);
        } else {
            up.remove(&peer.node);
        }
    }
}

/// The nodes of the layout that this node is to propose, and the names of the new ones; `None` if nobody has joined, it is
/// another node's turn, or a node of the layout is down: the change could not go on without it.
fn grown(
    node: &Node,
    state: &LayoutState,
    up: &BTreeMap<NodeId, Instant>,
) -> Option<(Vec<Host>, Vec<String>)> {
    let current = state.current();
    if !node.config.load().live.auto_grow || state.change().is_some() {
        return None;
    }
    let own = node.origin.node;
    let holding = || current.hosts().iter().filter(|host| host.holds_data);
    let is_first = holding().min_by_key(|host| &host.name).is_some_and(|host| host.node == own);
    if !is_first || holding().any(|host| host.node != own && !up.contains_key(&host.node)) {
        return None;
    }
    let peers = node.peers();
    let joined = peers.iter().filter(|peer| {
        current.host(peer.node).is_none() && up.get(&peer.node).is_some_and(|since| since.elapsed() >= UP)
    });
    let joining: Vec<Host> = joined.map(|peer| peer.host()).collect();
    let names: Vec<String> = joining.iter().map(|host| host.name.clone()).collect();
    let hosts = current.hosts().iter().cloned().chain(joining).collect();
    (!names.is_empty()).then_some((hosts, names))
}
