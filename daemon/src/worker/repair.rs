//! Repairs that operators ask for: everything this node holds is read from its disk, fetched where others know more, and
//! compared with every other replica; what differs is settled. In the end nobody that answers has diverged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use settle_core::key::PartitionId;
use settle_service::shutdown::Shutdown;
use tokio::time::sleep;

use crate::node::Node;
use crate::node::jobs::{Job, Progress};
use crate::peer::Peer;

use super::anti_entropy::exchange;
use super::scrub;
use super::verify::{caught_up, is_up, partners, verified};

/// The most failures that are told one by one.
const FAILURES_MAX: usize = 8;
/// How often, and how many times, it is looked whether others have fetched what they lack.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS_MAX: u32 = 240;

/// Works until the shutdown.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    loop {
        let job = tokio::select! {
            () = shutdown.wait() => return,
            job = node.jobs.next() => job,
        };
        tracing::info!(repair = job.id, "repair begins");
        tokio::select! {
            () = shutdown.wait() => fail(&job, "the node was shut down".to_owned()),
            () = work(&node, &job) => {}
        }
        job.update(|progress| progress.done = true);
        let Progress { keys_repaired, failures, .. } = job.progress();
        tracing::info!(repair = job.id, keys_repaired, failures = failures.join("; "), "repair ended");
    }
}

async fn work(node: &Arc<Node>, job: &Job) {
    let shared = |id: &PartitionId| !partners(node, *id).is_empty();
    let ids: Vec<PartitionId> = node.partition_ids().filter(shared).collect();
    job.update(|progress| progress.partitions = ids.len());
    let mut silent = BTreeSet::new();
    for id in ids {
        match scrub::at_once(node, id).await {
            Ok(leaves) => job.update(|progress| progress.rotten += u64::from(leaves > 0)),
            Err(error) => fail(job, format!("partition {} cannot be read: {error}", id.0)),
        }
        for peer in partners(node, id) {
            if is_up(node, &peer) {
                repair(node, job, &peer, id).await;
            } else if silent.insert(peer.node) {
                fail(job, format!("{} does not answer", peer.name));
            }
        }
        job.update(|progress| progress.partitions_done += 1);
    }
    wait_for_diverged(node, job).await;
}

/// Fetches what is missing, and compares.
async fn repair(node: &Arc<Node>, job: &Job, peer: &Peer, id: PartitionId) {
    let behind = node.partition(id).is_some_and(|partition| partition.lacks_from(peer.node));
    if behind && let Err(error) = exchange(node, peer, id).await {
        return fail(job, format!("partition {} was not fetched from {}: {error}", id.0, peer.name));
    }
    if !caught_up(node, peer, id).await {
        return fail(job, format!("partition {}: {} lacks much, or this node does", id.0, peer.name));
    }
    match verified(node, peer, id).await {
        Ok(0) => job.update(|progress| progress.equal += 1),
        Ok(keys) => job.update(|progress| {
            progress.repaired += 1;
            progress.keys_repaired += keys;
        }),
        Err(error) => fail(job, error),
    }
}

/// Waits until no replica that answers lacks what this node's log has dropped: they fetch it by themselves.
async fn wait_for_diverged(node: &Node, job: &Job) {
    for _ in 0..LOOKS_MAX {
        if diverged(node).is_empty() {
            return;
        }
        sleep(LOOK).await;
    }
    for name in diverged(node) {
        fail(job, format!("{name} has not yet fetched what it lacks (see /v1/lag)"));
    }
}

fn diverged(node: &Node) -> Vec<String> {
    let peers = node.peers();
    let diverged = |peer: &&Arc<Peer>| is_up(node, peer) && node.diverged_partitions(peer.node) > 0;
    peers.iter().filter(diverged).map(|peer| peer.name.clone()).collect()
}

fn fail(job: &Job, failure: String) {
    tracing::warn!(repair = job.id, failure, "not everything could be repaired");
    job.update(|progress| {
        if progress.failures.len() < FAILURES_MAX {
            progress.failures.push(failure);
        }
    });
}
