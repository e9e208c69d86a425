//! The scrub: reading again what is on the disk, to see whether it is what was written.
//!
//! One page at a time, at a pace that takes `anti_entropy.merkle_interval` for everything or, with much data, longer. A
//! row whose checksum is wrong is an error of the storage. One that reads well and is not what was written is found by
//! the hash trees: then the partition is surveyed anew, so that this replica stands for what it really holds, and verified
//! with the others.

use std::sync::Arc;
use std::time::Duration;

use settle_core::key::PartitionId;
use settle_core::partition::{PageLimits, Scrubbed};
use settle_core::storage::StorageError;
use settle_service::shutdown::Shutdown;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::node::Node;
use crate::watched::joined;

use super::upkeep::survey_partition;
use super::verify::{partners, verified};

/// What is read while a partition is locked.
const PAGE: PageLimits = PageLimits { records: 1_024, bytes: 1 << 20 };
/// The longest pause between two pages.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Scrubs until the shutdown.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    tokio::select! {
        () = shutdown.wait() => {}
        () = rounds(&node) => {}
    }
}

async fn rounds(node: &Arc<Node>) {
    loop {
        let interval = node.config.load().live.merkle_interval;
        // Not at the start, when all rows were just read.
        let next = Instant::now() + interval;
        let pause = (interval / node.partition_count().max(1)).min(PAUSE_MAX);
        for id in node.partition_ids() {
            sleep(pause).await;
            if let Err(error) = partition(node, id, pause).await {
                failed(node, id, &error);
            }
        }
        sleep_until(next).await;
    }
}

/// Scrubs one partition, and has it verified if rows have changed. Says under how many leaves of its hash tree some have.
async fn partition(node: &Arc<Node>, id: PartitionId, pause: Duration) -> Result<usize, StorageError> {
    loop {
        match page(node, id).await? {
            Some(Scrubbed::Partly) => sleep(pause).await,
            Some(Scrubbed::Rotten(leaves)) => {
                rotten(node, id, leaves).await?;
                return Ok(leaves);
            }
            Some(Scrubbed::Sound) | None => return Ok(0),
        }
    }
}

/// Scrubs one partition from its beginning, without pauses.
pub(super) async fn at_once(node: &Arc<Node>, id: PartitionId) -> Result<usize, StorageError> {
    if let Some(mut partition) = node.partition(id) {
        partition.abort_scrub();
    }
    partition(node, id, Duration::ZERO).await
}

/// Reads one page; `None` if there is nothing to compare it with.
async fn page(node: &Arc<Node>, id: PartitionId) -> Result<Option<Scrubbed>, StorageError> {
    let node = Arc::clone(node);
    let reading = spawn_blocking(move || {
        let Some(mut partition) = node.partition(id).filter(|partition| partition.tree().is_some()) else {
            return Ok(None);
        };
        partition.scrub(&*node.engine, PAGE).map(Some)
    });
    joined(reading).await.unwrap_or(Ok(None))
}

/// Rows are not what was written.
async fn rotten(node: &Arc<Node>, id: PartitionId, leaves: usize) -> Result<(), StorageError> {
    node.metrics.storage.errors.inc();
    tracing::error!(
        partition = id.0,
        leaves,
        "the disk holds other rows than were written; comparing them with the other replicas"
    );
    let surveyed = Arc::clone(node);
    joined(spawn_blocking(move || survey_partition(&surveyed, id))).await.unwrap_or(Ok(()))?;
    for peer in partners(node, id) {
        // Who cannot be compared with now is later.
        drop(verified(node, &peer, id).await);
    }
    Ok(())
}

/// Rows cannot be read.
fn failed(node: &Node, id: PartitionId, error: &StorageError) {
    node.metrics.storage.errors.inc();
    tracing::error!(partition = id.0, %error, "rows cannot be read");
}
