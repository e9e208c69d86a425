//! `GET /v1/layout?bucket=B&key=K&key=L`: which nodes hold these keys. For probers, which compare replicas of a key, and
//! for whoever asks where a key is.

use std::collections::BTreeMap;

use settle_core::key::Key;

use crate::api::params::percent_decode;
use crate::node::Node;

/// The most keys of one question.
const KEYS_MAX: usize = 1_000;

/// For each key of the query, as it is spelled there, the names of the nodes that it is read from, the preferred one
/// first; `None` for a query without keys. Empty while the cluster is not born.
pub(super) fn replicas(node: &Node, query: &str) -> Result<Option<BTreeMap<String, Vec<String>>>, String> {
    let (mut bucket, mut keys) = (None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("bucket", name)) => bucket = Some(name),
            Some(("key", key)) if keys.len() < KEYS_MAX => keys.push(key),
            Some(("key", _)) => return Err(format!("at most {KEYS_MAX} keys can be asked for at once")),
            _ => {
                return Err(format!("{pair}: the parameters are bucket and key, as in bucket=default&key=k"));
            }
        }
    }
    let bucket = match (bucket, keys.is_empty()) {
        (Some(bucket), false) => bucket,
        (None, true) => return Ok(None),
        _ => {
            return Err(
                "where a key lies depends on its bucket: both bucket and key must be given".to_owned()
            );
        }
    };
    let Some(state) = node.layout() else { return Ok(Some(BTreeMap::new())) };
    let replicas = |key: &str| {
        let bytes = percent_decode(key).ok_or_else(|| format!("key={key}: not percent-encoded correctly"))?;
        let id = Key::new(bucket, &bytes).partition(node.partition_count());
        let names = state.sets(id).read().iter().map(|replica| state.name(*replica)).collect();
        Ok((key.to_owned(), names))
    };
    keys.into_iter().map(replicas).collect::<Result<_, _>>().map(Some)
}
