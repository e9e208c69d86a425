//! Registers: get, put, delete.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::json;
use settle_core::codec::Encode;
use settle_core::context::ClientContext;
use settle_core::entry::Entry;
use settle_core::key::Key;
use settle_core::level::Level;
use settle_core::value::register::{Resolver, Value, winner};
use settle_service::http::{Request, Response, empty, read_body, with_content_type};
use tokio::time::Instant;

use crate::config::Bucket;
use crate::node::route::Routes;
use crate::node::{Node, ReadRequest, WriteRequest};

use super::params::Params;
use super::problem;

/// The causal context of a key.
const CONTEXT: HeaderName = HeaderName::from_static("settle-context");

/// What a value is that was put without a content type.
const OCTET_STREAM: &str = "application/octet-stream";

/// `GET /v1/kv/{bucket}/{key}`.
pub(super) async fn get(
    node: &Arc<Node>,
    routes: Arc<Routes>,
    bucket: &Bucket,
    key: &[u8],
    level: Level,
    params: &Params,
) -> Response {
    let key = Key::new(&bucket.name, key);
    let deadline = deadline(node, params);
    let outcome = if params.own {
        let route = routes.of(key.partition(node.partition_count()));
        if let Err(unavailable) = node.require_own(route) {
            return problem::unavailable(&unavailable);
        }
        node.held(&key).map_err(Into::into).map(|held| {
            let context = node.client_context(route, &key, &held);
            (held.entry, context)
        })
    } else {
        let read = node.read(ReadRequest { key, level, deadline, routes }).await;
        read.map(|outcome| (outcome.entry, outcome.context))
    };
    match outcome {
        Ok((entry, context)) => with_context(found(bucket, &entry), &context),
        Err(error) => problem::read(&error),
    }
}

/// `PUT` and `DELETE /v1/kv/{bucket}/{key}`.
pub(super) async fn write(
    node: &Node,
    routes: Arc<Routes>,
    bucket: &Bucket,
    key: &[u8],
    level: Level,
    params: &Params,
    request: Request,
) -> Response {
    let context = match context(request.headers()) {
        Ok(context) => context,
        Err(reason) => return problem::bad_request(reason),
    };
    let deadline = deadline(node, params);
    let value = if request.method() == Method::PUT {
        let content_type =
            request.headers().get(CONTENT_TYPE).map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let limit = node.config.load().live.limits.value_bytes;
        match read_body(request.into_body(), limit, left(deadline)).await {
            Ok(bytes) => Some(Value { content_type: content_type.unwrap_or_default(), bytes }),
            Err(error) => return problem::body(error),
        }
    } else {
        None
    };
    let key = Key::new(&bucket.name, key);
    let resolver = bucket.resolver;
    match node.write(WriteRequest { key, value, resolver, level, context, deadline, routes }).await {
        Ok(context) => with_context(empty(StatusCode::NO_CONTENT), &context),
        Err(error) => problem::write(&error),
    }
}

/// Refuses a key that no bucket takes.
pub(super) fn check_key(node: &Node, key: &[u8]) -> Option<Response> {
    let limit = node.config.load().live.limits.key_bytes;
    if key.is_empty() {
        return Some(problem::bad_request("the key is empty"));
    }
    (key.len() > limit).then(|| problem::too_large("key", key.len(), "limits.key_bytes", limit))
}

/// When the answer to a call is due.
pub(super) fn deadline(node: &Node, params: &Params) -> Instant {
    Instant::now() + params.timeout.unwrap_or_else(|| node.config.load().live.consistency.timeout)
}

/// How long is left until then.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The reply to a read: the value that the resolver chooses, all of them, or none.
fn found(bucket: &Bucket, entry: &Entry) -> Response {
    let chosen = match (bucket.resolver, entry.siblings.as_slice()) {
        (_, []) => return problem::no_value().into_response(),
        (Resolver::Siblings, siblings @ [_, _, ..]) => return several(siblings),
        (Resolver::Siblings | Resolver::Lww, _) => winner(entry),
    };
    let value = chosen.and_then(|(_, version)| Value::from_payload(&version.payload).ok());
    match value {
        Some(value) => {
            let content_type = HeaderValue::from_maybe_shared(value.content_type).ok();
            let content_type = content_type.filter(|value| !value.is_empty());
            let content_type = content_type.unwrap_or(HeaderValue::from_static(OCTET_STREAM));
            with_content_type(StatusCode::OK, content_type, value.bytes)
        }
        None => problem::damaged(),
    }
}

/// 300: concurrent versions, for the client to settle.
fn several(siblings: &[(settle_core::dot::Dot, settle_core::entry::Version)]) -> Response {
    let values = siblings.iter().filter_map(|(_, version)| Value::from_payload(&version.payload).ok());
    let values: Vec<_> = values
        .map(|value| {
            let content_type = String::from_utf8_lossy(&value.content_type).into_owned();
            let content_type = if content_type.is_empty() { OCTET_STREAM.to_owned() } else { content_type };
            json!({ "value": STANDARD.encode(&value.bytes), "content_type": content_type })
        })
        .collect();
    let body = json!({ "siblings": values }).to_string();
    with_content_type(StatusCode::MULTIPLE_CHOICES, HeaderValue::from_static("application/json"), body)
}

/// The context that a client sent, or an empty one.
fn context(headers: &HeaderMap) -> Result<ClientContext, String> {
    let Some(value) = headers.get(CONTEXT) else { return Ok(ClientContext::default()) };
    let bytes = URL_SAFE_NO_PAD
        .decode(value.as_bytes())
        .map_err(|error| format!("Settle-Context: not base64url: {error}; send back what a read returned"))?;
    ClientContext::from_client(bytes)
        .map_err(|error| format!("Settle-Context: {error}; send back what a read returned"))
}

/// A context as a header.
pub(super) fn context_header(context: &ClientContext) -> (HeaderName, HeaderValue) {
    let mut bytes = Vec::with_capacity(64);
    context.encode(&mut bytes);
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let value = HeaderValue::from_maybe_shared(Bytes::from(text));
    (CONTEXT, value.unwrap_or(HeaderValue::from_static("")))
}

fn with_context(mut response: Response, context: &ClientContext) -> Response {
    let (name, value) = context_header(context);
    response.headers_mut().insert(name, value);
    response
}
