//! The steps of a layout change, at this node: it acknowledges each when its condition holds, and enters the next one when
//! all have.
//!
//! In step 2 a new replica pulls: the exchanges with its partners do that ([`super::anti_entropy`]), here they are only
//! told not to wait for their turn. In step 5 partitions are dropped; [`super::upkeep`] removes their rows.

use std::sync::Arc;
use std::time::Duration;

use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::layout::steps::{LayoutState, Position, Step};
use settle_core::partition::Moment;
use settle_service::shutdown::Shutdown;
use tokio::time::sleep;

use crate::clock;
use crate::node::Node;
use crate::node::layout::AdoptError;

/// How often conditions are looked at, besides when something is told.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often a replica that is not complete asks others at once, instead of when it is their turn.
const PULL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a step takes before it is said whom it waits for, and then again and again.
const WAITING_SAID: Duration = Duration::from_secs(30);

/// How long what came to a partition that this node does not hold is kept: others may know of a change already that this
/// node has not heard of.
const STRAY_AGE: Duration = Duration::from_secs(15);

/// Since when this process has been where it is.
#[derive(Debug, Clone, Copy)]
struct Since {
    position: Position,
    entered: Moment,
    /// When exchanges were last told not to wait.
    pulled: Moment,
    /// When it was last said whom the step waits for; at first when it was entered.
    said: Moment,
}

/// Works until the shutdown.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    let mut since = None;
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = sleep(INTERVAL) => {}
            () = node.layout_moved.notified() => {}
        }
        if let Err(error) = go_on(&node, &mut since).await {
            tracing::warn!(%error, "the layout change does not go on");
        }
    }
}

/// Goes on as far as it can.
async fn go_on(node: &Node, since: &mut Option<Since>) -> Result<(), AdoptError> {
    loop {
        let Some(state) = node.layout() else { return Ok(()) };
        let (position, now) = (state.position(), clock::now());
        // Taken after the position has taken effect: what is asked from now on is asked under it.
        let here = since.take().filter(|since| since.position == position);
        let here =
            since.insert(here.unwrap_or(Since { position, entered: now, pulled: Moment(0), said: now }));
        let Some(change) = state.change() else {
            drop_strays(node, &state, here.entered);
            return Ok(());
        };
        if !change.acked && is_done(node, &state, change.step, here) {
            node.acknowledge(position).await?;
        }
        if !node.advance().await? {
            say_waiting(node, &state, here);
            return Ok(());
        }
    }
}

/// Says now and then whom a step waits for.
fn say_waiting(node: &Node, state: &LayoutState, since: &mut Since) {
    let now = clock::now();
    if clock::between(since.said, now) < WAITING_SAID {
        return;
    }
    since.said = now;
    let waiting: Vec<String> = node.waiting_for().into_iter().map(|node| state.name(node)).collect();
    let (version, step) = (state.current().version + 1, state.change().map(|change| change.step.number()));
    tracing::warn!(
        version,
        step,
        waiting_for = waiting.join(", "),
        "the layout change waits for these nodes; start those that are down"
    );
}

/// Whether this node's condition for the step that it is in holds.
fn is_done(node: &Node, state: &LayoutState, step: Step, since: &mut Since) -> bool {
    match step {
        Step::WriteBoth | Step::ReadNew | Step::WriteNew => node.older_requests_ended(since.position),
        Step::Pull => {
            let lacking = lacking(node, state, since.entered);
            let now = clock::now();
            if clock::between(since.pulled, now) >= PULL_INTERVAL {
                since.pulled = now;
                node.peers()
                    .iter()
                    .filter(|peer| lacking.contains(&peer.node))
                    .for_each(|peer| peer.behind.notify_one());
            }
            lacking.is_empty()
        }
        Step::Drop => drop_left(node, state),
    }
}

/// The old replicas of which this node is not proven to have, in the partitions that it holds in the new layout and that
/// move, all that they had when it entered the step.
fn lacking(node: &Node, state: &LayoutState, entered: Moment) -> Vec<NodeId> {
    let (own, now) = (node.origin.node, clock::now());
    let mut lacking = Vec::new();
    for id in node.partition_ids() {
        let sets = state.sets(id);
        if !sets.moves() || !sets.new_replicas().contains(&own) {
            continue;
        }
        let Some(mut partition) = node.partition(id) else { continue };
        for old in sets.old().iter().filter(|old| **old != own) {
            if partition.proof(*old, now) < Some(entered) && !lacking.contains(old) {
                lacking.push(*old);
            }
        }
    }
    lacking
}

/// How many of the partitions that this node holds in the new layout, and that move, are complete here, and how many there
/// are; for operators.
pub(crate) fn pulled(node: &Node, state: &LayoutState) -> (usize, usize) {
    let own = node.origin.node;
    let (mut complete, mut all) = (0, 0);
    for id in node.partition_ids() {
        let sets = state.sets(id);
        if !sets.moves() || !sets.new_replicas().contains(&own) || sets.old().contains(&own) {
            continue;
        }
        all += 1;
        let Some(partition) = node.partition(id) else { continue };
        let covers = |old: &NodeId| partition.missing_from(*old) == Some(0);
        complete += usize::from(sets.old().iter().all(covers));
    }
    (complete, all)
}

/// Begins to drop what this node holds in the old layout only, as far as every new replica has all of it. Says whether
/// nothing of that is left.
fn drop_left(node: &Node, state: &LayoutState) -> bool {
    let (mut left, mut begun) = (false, false);
    for id in node.partition_ids() {
        let sets = state.sets(id);
        if !sets.drops(node.origin.node) {
            continue;
        }
        let is_gone = node
            .partition(id)
            .is_none_or(|partition| !partition.is_dropping() && partition.durable().is_empty());
        left |= !is_gone;
        begun |= !is_gone && begin_drop(node, id, sets.new_replicas());
    }
    if begun {
        node.reroute_after_drop();
    }
    !left
}

/// Begins to drop a partition if every one of `holders` has all of it.
fn begin_drop(node: &Node, id: PartitionId, holders: &[NodeId]) -> bool {
    let begun = node.change_dropping(id, |partition, transaction| {
        let may = !partition.is_dropping() && partition.may_be_dropped(holders);
        Ok(may.then(|| partition.begin_drop(transaction)))
    });
    match begun {
        Ok(begun) => begun.is_some(),
        Err(error) => {
            tracing::warn!(partition = id.0, %error, "a partition that others hold by now is not dropped yet");
            false
        }
    }
}

/// Drops what came to partitions that this node does not hold: from nodes that knew of a change before this one did, which
/// sends it anew when it is this node's turn, or late, after the partition was dropped. Nobody counts on it.
fn drop_strays(node: &Node, state: &LayoutState, entered: Moment) {
    if clock::between(entered, clock::now()) < STRAY_AGE {
        return;
    }
    let is_stray = |id: &PartitionId| {
        !state.sets(*id).holds(node.origin.node)
            && node
                .partition(*id)
                .is_some_and(|partition| !partition.durable().is_empty() && !partition.is_dropping())
    };
    let strays: Vec<PartitionId> = node.partition_ids().filter(is_stray).collect();
    let mut begun = false;
    for id in strays {
        begun |= begin_drop(node, id, &[]);
    }
    if begun {
        node.reroute_after_drop();
    }
}
