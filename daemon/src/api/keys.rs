//! `GET /v1/keys/{bucket}`: a page of keys, partition by partition.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;
use settle_core::key::{Key, PartitionId};
use settle_core::storage::StorageError;
use settle_service::http::{Request, Response, json};

use crate::node::gather::Unavailable;
use crate::node::route::Routes;
use crate::node::{Node, ReadError};

use super::forward::{Forward, Passed, was_forwarded};
use super::kv::deadline;
use super::params::{Params, percent_encode};
use super::problem;

/// Where a page ended.
struct Cursor {
    partition: PartitionId,
    after: Option<Key>,
}

/// One page. Keys are percent-encoded; their order is that of partitions, not of names. Where a partition lies elsewhere
/// the rest of the page comes from a replica of it; that one goes as far as its own partitions follow each other.
pub(super) async fn list(
    node: &Node,
    forward: &Forward,
    routes: &Routes,
    bucket: &str,
    params: &Params,
    request: &Request,
) -> Response {
    let start = match params.cursor.as_deref().map(|text| Cursor::parse(text, bucket)) {
        None => Cursor { partition: PartitionId(0), after: None },
        Some(Some(cursor)) => cursor,
        Some(None) => return problem::bad_request("cursor: not one that a page returned"),
    };
    if node.layout().is_none() {
        return problem::unavailable(&node.not_born());
    }
    let forwarded = was_forwarded(request.headers());
    if !routes.of(start.partition).coordinates {
        if forwarded {
            return problem::unavailable(&Unavailable::NotReplica);
        }
        return pass(node, forward, routes, bucket, params, &start, request).await;
    }
    match page(node, routes, bucket, params, start) {
        Ok((keys, cursor)) => json(StatusCode::OK, &json!({ "keys": keys, "cursor": cursor })),
        Err(error) => problem::read(&ReadError::Storage(error)),
    }
}

/// The page as a replica of its first partition has it.
async fn pass(
    node: &Node,
    forward: &Forward,
    routes: &Routes,
    bucket: &str,
    params: &Params,
    start: &Cursor,
    request: &Request,
) -> Response {
    let prefix = percent_encode(&params.prefix);
    let path =
        format!("/v1/keys/{bucket}?prefix={prefix}&limit={}&cursor={}", params.limit, start.text(bucket));
    let headers = request.headers();
    let (partition, deadline) = (start.partition, deadline(node, params));
    let passed = Passed { partition, method: Method::GET, path, headers, body: Bytes::new(), deadline };
    forward.pass(node, routes, passed).await
}

fn page(
    node: &Node,
    routes: &Routes,
    bucket: &str,
    params: &Params,
    start: Cursor,
) -> Result<(Vec<String>, Option<String>), StorageError> {
    let mut keys = Vec::new();
    let mut after = start.after;
    for id in node.partition_ids().skip(usize::from(start.partition.0)) {
        if !routes.of(id).coordinates {
            return Ok((keys, Some(Cursor { partition: id, after: None }.text(bucket))));
        }
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
            return Ok((keys, Some(cursor.text(bucket))));
        }
    }
    Ok((keys, None))
}

impl Cursor {
    fn text(&self, bucket: &str) -> String {
        let mut bytes = self.partition.0.to_be_bytes().to_vec();
        // The empty key comes before all others, and is none.
        let after = self.after.clone().unwrap_or_else(|| Key::new(bucket, b""));
        bytes.extend_from_slice(after.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Also refuses a cursor of another bucket, which would list its keys.
    fn parse(text: &str, bucket: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (number, key) = bytes.split_first_chunk::<2>()?;
        let after = Key::from_stored(Bytes::copy_from_slice(key));
        (after.bucket() == bucket)
            .then_some(Self { partition: PartitionId(u16::from_be_bytes(*number)), after: Some(after) })
    }
}
