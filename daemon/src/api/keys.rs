//! `GET /v1/keys/{bucket}`: a page of the keys that this node holds, partition by partition.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::json;
use settle_core::key::{Key, PartitionId};
use settle_core::storage::StorageError;
use settle_service::http::{Response, json};

use crate::node::{Node, ReadError};

use super::params::{Params, percent_encode};
use super::problem;

/// Where a page ended.
struct Cursor {
    partition: PartitionId,
    after: Option<Key>,
}

/// One page. Keys are percent-encoded; their order is that of partitions, not of names.
pub(super) fn list(node: &Node, bucket: &str, params: &Params) -> Response {
    let start = match params.cursor.as_deref().map(|text| Cursor::parse(text, bucket)) {
        None => Cursor { partition: PartitionId(0), after: None },
        Some(Some(cursor)) => cursor,
        Some(None) => return problem::bad_request("cursor: not one that a page returned"),
    };
    match page(node, bucket, params, start) {
        Ok((keys, cursor)) => json(StatusCode::OK, &json!({ "keys": keys, "cursor": cursor })),
        Err(error) => problem::read(&ReadError::Storage(error)),
    }
}

fn page(
    node: &Node,
    bucket: &str,
    params: &Params,
    start: Cursor,
) -> Result<(Vec<String>, Option<String>), StorageError> {
    let mut keys = Vec::new();
    let mut after = start.after;
    for id in node.partition_ids().skip(usize::from(start.partition.0)) {
        let Some(partition) = node.partition(id) else { continue };
        let prefix = Key::new(bucket, &params.prefix);
        let mut last = None;
        partition.list(&*node.engine, &prefix, after.take().as_ref(), |key| {
            keys.push(percent_encode(key.user_key()));
            if keys.len() < params.limit {
                return ControlFlow::Continue(());
            }
            last = Some(key.clone());
            ControlFlow::Break(())
        })?;
        if let Some(last) = last {
            let cursor = Cursor { partition: id, after: Some(last) };
            return Ok((keys, Some(cursor.text())));
        }
    }
    Ok((keys, None))
}

impl Cursor {
    fn text(&self) -> String {
        let mut bytes = self.partition.0.to_be_bytes().to_vec();
        if let Some(after) = &self.after {
            bytes.extend_from_slice(after.as_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Also refuses a cursor of another bucket, which would list its keys.
    fn parse(text: &str, bucket: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (number, key) = bytes.split_first_chunk::<2>()?;
        let after = Key::from_stored(bytes::Bytes::copy_from_slice(key));
        (after.bucket() == bucket)
            .then_some(Self { partition: PartitionId(u16::from_be_bytes(*number)), after: Some(after) })
    }
}
