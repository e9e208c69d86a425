//! Hints: what is pending for whom and since when, what a bound drops, and who has diverged by it.

use super::*;

const AWAY: NodeId = NodeId(2);
const HERE: NodeId = NodeId(3);

/// A node with a record logged in each of the seconds 10, 20 and 30; node 3 has all of them, node 2 the first.
fn node() -> Node {
    let mut node = Node::new(1);
    node.change(|partition, transaction| partition.spill(transaction, 10));
    for second in [10, 20, 30] {
        node.now = second;
        node.put(&key(&format!("k{second}")), "v");
        // The earliest that it can have been logged is the second of the call before.
        node.change(|partition, transaction| partition.spill(transaction, second + 10));
        if second == 10 {
            tell(&mut node, AWAY);
        }
    }
    node.now = 40;
    tell(&mut node, HERE);
    node
}

/// A peer tells that it has what `node` has.
fn tell(node: &mut Node, peer: NodeId) {
    let clock = node.partition.durable().clone();
    node.partition.told(peer, Moment(1), firm(clock), Moment(2)).unwrap();
}

fn drop_hints(node: &mut Node, lacking: &[NodeId], upto: u64) -> Option<(u64, Vec<NodeId>)> {
    let others = [AWAY, HERE];
    let dropped =
        node.change(|partition, transaction| partition.drop_hints(transaction, &others, lacking, upto))?;
    Some((dropped.records, dropped.diverged))
}

fn settle(node: &mut Node, others: &[NodeId]) -> Vec<NodeId> {
    node.change(|partition, transaction| partition.settle_diverged(transaction, others));
    node.partition.diverged().collect()
}

#[test]
fn hints_are_what_a_peer_lacks_and_as_old_as_the_first_of_them() {
    let mut node = node();
    let hints = |node: &Node, peer| {
        let hints = node.partition.hints(peer);
        (hints.pending, hints.oldest)
    };
    assert_eq!(hints(&node, AWAY), (2, Some(20)));
    assert_eq!((hints(&node, HERE), hints(&node, NodeId(9))), ((0, None), (3, Some(10))));
    node.put(&key("younger"), "v");
    assert_eq!(hints(&node, HERE), (1, Some(40)));
    node.change(|partition, transaction| partition.spill(transaction, 40));
    // Ages survive a restart, in segments and in rows of their own.
    for in_rows in [false, true] {
        if in_rows {
            node.remove_segments();
        }
        let ages = |partition: &Partition| partition.log_sizes().map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(
            (ages(&node.partition), ages(&node.restarted())),
            (vec![10, 20, 30, 40], vec![10, 20, 30, 40])
        );
    }
}

#[test]
fn a_dropped_record_makes_the_replicas_diverge_that_lack_it() {
    let mut node = node();
    node.remove_segments();
    assert_eq!(drop_hints(&mut node, &[HERE], 40), None, "it lacks nothing");
    assert_eq!(drop_hints(&mut node, &[AWAY], 19), None, "that was long ago, and it has it");
    assert_eq!(drop_hints(&mut node, &[AWAY], 20), Some((1, vec![AWAY])));
    assert_eq!(node.partition.log_records(), 2);
    let again = node.restarted();
    assert_eq!((again.durable(), again.log_records()), (node.partition.durable(), 2));
    assert_eq!(again.diverged().collect::<Vec<_>>(), [AWAY]);

    // The log is not enough any more, and a full exchange is.
    let mut away = Node::new(2);
    let first = node.partition.log.dots().ranges().next().unwrap().dots().next().unwrap();
    away.partition.clock.add(first);
    away.partition.durable.add(first);
    let answer = node.partition.serve_log(&node.memory, away.partition.durable(), LIMITS).unwrap();
    assert_eq!(answer, LogAnswer::Full);
    assert_eq!(settle(&mut node, &[AWAY, HERE]), [AWAY], "its last word is what it was");
    away.pull_all(&mut node);
    assert_eq!(away.values(&key("k30")), [Bytes::from("v")]);
    node.partition.told(AWAY, Moment(3), firm(away.partition.durable().clone()), Moment(4)).unwrap();
    assert_eq!(settle(&mut node, &[AWAY, HERE]), []);
    assert_eq!(node.restarted().diverged().count(), 0);
}

#[test]
fn a_replica_that_leaves_has_not_diverged() {
    let mut node = node();
    assert_eq!(drop_hints(&mut node, &[AWAY], 30), Some((2, vec![AWAY])));
    assert_eq!(settle(&mut node, &[HERE]), []);
}

#[test]
fn who_has_told_nothing_may_lack_everything() {
    let mut node = node();
    let stranger = NodeId(9);
    let mut drop_for = |lacking: &[NodeId]| {
        let others = [AWAY, stranger];
        let dropped =
            node.change(|partition, transaction| partition.drop_hints(transaction, &others, lacking, 99));
        dropped.map(|dropped| (dropped.records, dropped.diverged))
    };
    assert_eq!(drop_for(&[AWAY]), None, "the other one may need them");
    assert_eq!(drop_for(&[stranger]), Some((1, vec![stranger])), "and so does this one");
    assert_eq!(drop_for(&[AWAY, stranger]), Some((2, vec![AWAY, stranger])));
}

#[test]
fn a_pending_write_is_no_hint_and_is_not_dropped() {
    let mut node = node();
    let mut batch = Batch::default();
    let mut transaction = Transaction { rows: &node.memory, batch: &mut batch };
    let write = Write { key: key("new"), version: None, context: Clock::new(), over_all_seen: true };
    node.partition.write(&mut transaction, write).unwrap();
    node.partition.spill(&mut transaction, 50);
    assert_eq!(node.partition.hints(HERE).pending, 0);
    let dropped = node.partition.drop_hints(&mut transaction, &[HERE], &[HERE], 99);
    assert_eq!((dropped, node.partition.log_records()), (None, 4));
}

#[test]
fn a_peer_that_tells_less_than_before_has_an_older_disk_unless_it_said_that_it_might_lose_some() {
    let mut node = node();
    let (all, none) = (node.partition.durable().clone(), Clock::new());
    // A new connection, maybe a new life: what was told before still counts.
    node.partition.forget(HERE);
    let told = node.partition.told(HERE, Moment(3), firm(none.clone()), Moment(4));
    assert_eq!(told, Err(WentBack { lost: 3 }));
    assert_eq!((node.partition.watermark(HERE), node.partition.last_told(HERE)), (None, Some(&all)));
    node.partition.told(HERE, Moment(3), Told { clock: all, firm: false }, Moment(4)).unwrap();
    node.partition.forget(HERE);
    assert_eq!(node.partition.last_told(HERE), None, "it may have lost what it told");
    node.partition.told(HERE, Moment(5), firm(none), Moment(6)).unwrap();
}
