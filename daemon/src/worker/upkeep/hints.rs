//! The bounds on the log: how long it is kept for replicas that are down, and how large it may become.
//!
//! What a bound drops, a replica that lacks it can only get by a full exchange: it has diverged, and is said to have,
//! until its durable clock covers what was dropped.

use std::collections::BTreeSet;

use settle_core::dot::NodeId;

use crate::metrics::DropReason;
use crate::node::commit::Waiter;
use crate::node::{ChangeError, Node};

/// Drops what is beyond a bound, oldest first. It is `now`, in seconds.
pub(super) fn bound(node: &Node, now: u64) -> Result<(), ChangeError> {
    let bounds = node.config.load().live.hints;
    let down = node.down();
    // A replica that is up fetches what it lacks: however old that is, it is not taken away under its hands.
    let expired = now.saturating_sub(bounds.max_age.as_secs()).checked_sub(1);
    if let (false, Some(expired)) = (down.is_empty(), expired) {
        drop_upto(node, Some(&down), expired, DropReason::Age)?;
    }
    let Some(oldest) = beyond(sizes(node), bounds.max_bytes) else { return Ok(()) };
    // Rather what only replicas lack that are down; but a bound is a bound.
    if drop_upto(node, Some(&down), oldest, DropReason::Bytes)? == 0 {
        drop_upto(node, None, oldest, DropReason::Bytes)?;
    }
    Ok(())
}

/// Takes back that replicas have diverged, of those that have caught up.
pub(super) fn settle(node: &Node) -> Result<(), ChangeError> {
    let routes = node.routes();
    for id in node.partition_ids() {
        if node.partition(id).is_some_and(|partition| partition.diverged().next().is_some()) {
            let others = routes.of(id).others();
            node.change(
                id,
                |partition, transaction| Ok(partition.settle_diverged(transaction, &others)),
                |_| Waiter::Nobody,
            )?;
        }
    }
    Ok(())
}

/// When each part of the log was complete, in seconds, and its bytes.
fn sizes(node: &Node) -> Vec<(u64, u64)> {
    let partitions = node.partition_ids().filter_map(|id| node.partition(id));
    partitions.flat_map(|partition| partition.log_sizes().collect::<Vec<_>>()).collect()
}

/// Up to which second records must go so that no more than `bytes_max` bytes are left; `None` if none need go.
fn beyond(mut sizes: Vec<(u64, u64)>, bytes_max: u64) -> Option<u64> {
    let total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    let mut excess = total.checked_sub(bytes_max).filter(|excess| *excess > 0)?;
    sizes.sort_unstable();
    for (until, bytes) in sizes {
        match excess.checked_sub(bytes) {
            Some(left) if left > 0 => excess = left,
            _ => return Some(until),
        }
    }
    None
}

/// Drops what was logged up to a second and one of `lacking`, or any other replica, lacks. Returns how many records.
fn drop_upto(
    node: &Node,
    lacking: Option<&[NodeId]>,
    upto: u64,
    reason: DropReason,
) -> Result<u64, ChangeError> {
    let (mut records, mut diverged) = (0, BTreeSet::new());
    let routes = node.routes();
    for id in node.partition_ids() {
        let old = node.partition(id).and_then(|partition| partition.log_sizes().next());
        if old.is_none_or(|(until, _)| until > upto) {
            continue;
        }
        let others = routes.of(id).others();
        let lacks = |node: &NodeId| lacking.is_none_or(|lacking| lacking.contains(node));
        let lacking: Vec<NodeId> = others.iter().copied().filter(lacks).collect();
        let dropped = node.change(
            id,
            |partition, transaction| Ok(partition.drop_hints(transaction, &others, &lacking, upto)),
            |_| Waiter::Nobody,
        )?;
        if let Some(dropped) = dropped {
            records += dropped.records;
            diverged.extend(dropped.diverged);
        }
    }
    if records > 0 {
        node.metrics.hints_dropped.add(reason, records);
        let peers = node.peers();
        let names: Vec<&str> = peers
            .iter()
            .filter(|peer| diverged.contains(&peer.node))
            .map(|peer| peer.name.as_str())
            .collect();
        tracing::warn!(
            records,
            bound = reason.key(),
            diverged = names.join(", "),
            "the log has reached a bound; replicas that lack what was dropped need a full exchange"
        );
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_go_as_the_bound_asks_for_and_the_oldest() {
        let sizes = vec![(30, 10), (10, 10), (20, 10)];
        for (bytes_max, expected) in
            [(30, None), (29, Some(10)), (20, Some(10)), (19, Some(20)), (0, Some(30))]
        {
            assert_eq!(beyond(sizes.clone(), bytes_max), expected, "{bytes_max}");
        }
        assert_eq!(beyond(Vec::new(), 0), None);
    }
}
