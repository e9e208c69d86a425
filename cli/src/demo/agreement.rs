//! Whether all replicas hold the same: every key that the clients may have written, read at each
//! replica from its own state alone.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use settle_wire::http::{Base, Client, kv};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::traffic::{self, BUCKET, RIVALS_BUCKET, RIVALS_KEYS};

/// Writes under way when the traffic stopped may arrive later at one replica than at another.
const DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// A key: bucket and name.
pub(super) type Key = (&'static str, String);

/// What one replica answers: the status and the value, or the siblings.
type Answer = (u16, Bytes);

/// All keys of a run at this rate.
pub(super) fn keys(rate: u32) -> Vec<Key> {
    let ordinary = (0..traffic::keys(rate)).map(|number| (BUCKET, traffic::key(number)));
    let rivals = (0..RIVALS_KEYS).map(|number| (RIVALS_BUCKET, traffic::rivals_key(number)));
    ordinary.chain(rivals).collect()
}

/// The keys that the replicas still hold differently when the deadline is over; usually none.
pub(super) async fn differing(client: &Client, nodes: &[Base], mut keys: Vec<Key>) -> Result<Vec<Key>> {
    let begun = Instant::now();
    loop {
        let mut reads = JoinSet::new();
        for node in nodes {
            reads.spawn(read_all(client.clone(), node.clone(), keys.clone()));
        }
        let answers: Vec<Vec<Answer>> = reads.join_all().await.into_iter().collect::<Result<_>>()?;
        keys = differences(keys, &answers);
        if keys.is_empty() || begun.elapsed() > DEADLINE {
            return Ok(keys);
        }
        sleep(PAUSE).await;
    }
}

/// The keys to which not all replicas answer the same.
fn differences(keys: Vec<Key>, answers: &[Vec<Answer>]) -> Vec<Key> {
    let differs = |index: usize| {
        let mut all = answers.iter().map(|answers| answers.get(index));
        let first = all.next().flatten();
        all.any(|answer| answer != first)
    };
    keys.into_iter().enumerate().filter(|(index, _)| differs(*index)).map(|(_, key)| key).collect()
}

async fn read_all(client: Client, node: Base, keys: Vec<Key>) -> Result<Vec<Answer>> {
    let options = kv::Options { own_replica: true, ..kv::Options::default() };
    let mut answers = Vec::with_capacity(keys.len());
    for (bucket, key) in keys {
        let call = kv::get(bucket, key.as_bytes(), &options, READ_DEADLINE);
        let answer = client.send(&node, &call).await.context("cannot compare the replicas")?;
        let status = answer.status.as_u16();
        match status {
            200 | 300 => answers.push((status, answer.body)),
            // The text of this problem may name what it likes.
            404 => answers.push((status, Bytes::new())),
            _ => bail!("cannot compare the replicas: {node} answers {status} to {}", call.path),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_a_deletion_and_a_missing_answer_all_differ() {
        let keys: Vec<Key> = (0..4).map(|number| (BUCKET, traffic::key(number))).collect();
        let value = |text: &'static str| (200, Bytes::from_static(text.as_bytes()));
        let gone = (404, Bytes::new());
        let one = vec![value("a"), value("b"), value("c"), value("d")];
        let other = vec![value("a"), value("x"), gone];
        let names: Vec<String> = differences(keys.clone(), &[one.clone(), one.clone(), other])
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["key-1", "key-2", "key-3"]);
        assert!(differences(keys, &[one.clone(), one]).is_empty());
    }

    #[test]
    fn keys_of_both_kinds_of_clients_are_compared() {
        let keys = keys(200);
        assert_eq!(keys.len(), 1000 + RIVALS_KEYS as usize);
        assert!(keys.contains(&(RIVALS_BUCKET, "note-7".to_owned())));
    }
}
