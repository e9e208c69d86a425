//! Two clients that read the same state of a key and both write on top of it, through two nodes at
//! once. Neither write knows of the other: a conflict. The next round settles it, for it writes on top
//! of both.

use std::time::Duration;

use bytes::Bytes;
use settle_wire::http::kv;
use tokio::time::{MissedTickBehavior, interval};

use super::{Access, DEADLINE, RIVALS_BUCKET, RIVALS_KEYS, options, rivals_key};

/// Ordinary operations per conflict: conflicts stay well below the threshold, 1 % of all writes.
const OPERATIONS_PER_ROUND: f64 = 500.0;
/// A round must have reached every node before the next one of its key begins.
const PERIOD_MIN: Duration = Duration::from_millis(100);

pub(super) async fn run(access: Access, rate: u32) {
    let period = Duration::from_secs_f64(OPERATIONS_PER_ROUND / f64::from(rate)).max(PERIOD_MIN);
    let mut due = interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..u32::MAX).cycle() {
        due.tick().await;
        compete(&access, round).await;
    }
}

async fn compete(access: &Access, round: u32) {
    let nodes = access.nodes.len().max(1);
    let first = round as usize % nodes;
    let second = (first + 1) % nodes;
    let key = rivals_key(round % RIVALS_KEYS);
    let read = kv::get(RIVALS_BUCKET, key.as_bytes(), &options("one"), DEADLINE);
    let Some(seen) = access.call(first, &read).await else { return };
    let context = seen.headers.get(kv::CONTEXT);
    let write = |rival: &str| {
        let value = Bytes::from(format!("{rival} of round {round}"));
        kv::put(RIVALS_BUCKET, key.as_bytes(), value, &kv::Options { context, ..options("one") }, DEADLINE)
    };
    let (one, other) = (write("one"), write("other"));
    tokio::join!(access.call(first, &one), access.call(second, &other));
}
