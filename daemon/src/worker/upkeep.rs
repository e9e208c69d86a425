//! Shrinking back, once a second: log records that every replica has, those beyond a bound, log segments, and explicit
//! contexts that the clock covers.

mod hints;

use std::sync::Arc;
use std::time::Duration;

use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::partition::{Dropping, PageLimits};
use settle_core::storage::StorageError;
use settle_service::shutdown::Shutdown;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::node::commit::Waiter;
use crate::node::{ChangeError, Node};
use crate::watched::joined;

const INTERVAL: Duration = Duration::from_secs(1);

/// Log records removed, and keys looked at, per partition and round.
const ROWS_MAX: usize = 2_048;

/// What is surveyed of a partition while it is locked.
const SURVEY: PageLimits = PageLimits { records: 1_024, bytes: 1 << 20 };

/// Works until the shutdown.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    survey(&node).await;
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = sleep(INTERVAL) => {}
        }
        let round = Arc::clone(&node);
        if let Some(Err(error)) = joined(spawn_blocking(move || shrink(&round))).await {
            tracing::debug!(%error, "nothing was shrunk");
        }
    }
}

fn shrink(node: &Node) -> Result<(), ChangeError> {
    let (round, now) = (node.segments().round(), node.steady.seconds());
    // Before the layout is known, nobody can say that all have a write.
    let routes = node.routes();
    for id in node.partition_ids() {
        let (records, residue) = match node.partition(id) {
            Some(partition) if !partition.is_dropping() => (partition.log_records(), partition.residue()),
            _ => continue,
        };
        if residue > 0 {
            sweep(node, id)?;
        }
        if records > 0 && routes.of(id).own {
            prune(node, id, &routes.of(id).others())?;
        }
        // Without records too: what is durable now is what the next round spills.
        node.change(id, |partition, transaction| Ok(partition.spill(transaction, now)), |_| Waiter::Nobody)?;
    }
    hints::bound(node, now)?;
    hints::settle(node)?;
    let removal = node.segments().finish(round);
    if !removal.is_empty() {
        node.record(removal, Waiter::Nobody)?;
    }
    go_on_dropping(node)
}

/// Removes the rows of the partitions that have left this node.
fn go_on_dropping(node: &Node) -> Result<(), ChangeError> {
    let is_dropping = |id: &PartitionId| node.partition(*id).is_some_and(|partition| partition.is_dropping());
    let mut ended = false;
    for id in node.partition_ids().filter(is_dropping) {
        let go_on = || {
            node.change_dropping(id, |partition, transaction| {
                partition.go_on_dropping(transaction, &node.segments(), ROWS_MAX)
            })
        };
        let mut gone = go_on()?;
        while let Dropping::Working(_) = gone {
            gone = go_on()?;
        }
        ended |= gone == Dropping::Done;
    }
    if ended {
        node.reroute_after_drop();
        node.layout_moved.notify_one();
    }
    Ok(())
}

/// A row that cannot be read stays as it is: it must not keep logs and segments from shrinking.
fn sweep(node: &Node, id: PartitionId) -> Result<(), ChangeError> {
    let swept =
        node.change(id, |partition, transaction| partition.sweep(transaction, ROWS_MAX), |_| Waiter::Nobody);
    match swept {
        Err(ChangeError::Storage(error)) => {
            node.metrics.storage.errors.inc();
            tracing::warn!(partition = id.0, %error, "explicit contexts were not swept");
            Ok(())
        }
        swept => swept.map(drop),
    }
}

fn prune(node: &Node, id: PartitionId, others: &[NodeId]) -> Result<(), ChangeError> {
    node.change(
        id,
        |partition, transaction| Ok(partition.prune(transaction, others, ROWS_MAX)),
        |_| Waiter::Nobody,
    )?;
    Ok(())
}

/// Surveys what was there at the start, partition by partition and page by page: the hash trees, and how many keys live.
async fn survey(node: &Arc<Node>) {
    let surveyed = Arc::clone(node);
    let result =
        spawn_blocking(move || surveyed.partition_ids().try_for_each(|id| survey_partition(&surveyed, id)));
    if let Some(Err(error)) = joined(result).await {
        node.metrics.storage.errors.inc();
        tracing::error!(%error, "keys were not counted and hash trees not built: what is stored cannot be verified");
    }
}

/// Surveys what is left to survey of a partition, page by page.
pub(super) fn survey_partition(node: &Node, id: PartitionId) -> Result<(), StorageError> {
    while let Some(mut partition) = node.partition(id) {
        if partition.survey(&*node.engine, SURVEY)? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use settle_core::clock::Clock;
    use settle_core::dot::{Dot, DotRange, Epoch, Origin};
    use settle_core::entry::{Entry, Version};
    use settle_core::hlc::Hlc;
    use settle_core::key::Key;
    use settle_core::partition::Delta;
    use settle_core::storage::{Batch, Table};
    use settle_store::Disk as _;
    use tempfile::TempDir;
    use tokio::sync::oneshot;

    use super::*;
    use crate::testing::open;

    #[tokio::test]
    async fn a_row_that_cannot_be_read_keeps_nothing_else_from_shrinking() {
        let directory = TempDir::new().unwrap();
        let (node, _) = open(directory.path(), "");
        let (id, key) = (PartitionId(0), Key::new("default", b"k"));
        let dot = |counter| Dot { origin: Origin { node: NodeId(7), epoch: Epoch(1) }, counter };
        // It supersedes a write that is not here; and it is too large to be cached.
        let context: Clock = [dot(1), dot(2)].into_iter().collect();
        let version = Version { stamp: Hlc(1), payload: vec![7; 4 << 20].into() };
        let entry = Entry { siblings: vec![(dot(2), version)], context };
        let delta = Delta { key: key.clone(), entry, seen: DotRange::single(dot(2)) };
        let (done, durable) = oneshot::channel();
        node.change(
            id,
            |partition, transaction| partition.apply(transaction, &delta),
            |_| Waiter::Task(done),
        )
        .unwrap();
        durable.await.unwrap();
        let mut damage = Batch::default();
        damage.put(Table::Entry.key_row(id, &key), Bytes::from_static(b"rot"));
        node.engine.commit(&[damage], true).unwrap();
        assert_eq!(shrink(&node), Ok(()));
        assert_eq!(node.metrics.storage.errors.get(), 1);
    }
}
