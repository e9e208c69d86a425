//! Passing a call on to a replica of its key: what a node does that holds no copy of it. One hop, over the client API.
//!
//! A read may be tried at several replicas. A write that may have reached one is never sent to another: it could take
//! effect twice.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use settle_core::key::PartitionId;
use settle_service::http::{Response, with_content_type};
use settle_wire::http::{Base, Call, Client, ClientLimits, HttpError};
use tokio::time::Instant;

use crate::node::Node;
use crate::node::gather::Unavailable;
use crate::node::route::Routes;
use crate::peer::Peer;

use super::problem;

/// Marks a call that was passed on. It is answered here, or not at all.
const FORWARDED: HeaderName = HeaderName::from_static("settle-forwarded");

/// What of a call's headers a replica must know, and what of its reply's a client.
const CARRIED: [HeaderName; 6] = [
    ACCEPT,
    CONTENT_TYPE,
    RETRY_AFTER,
    HeaderName::from_static("settle-context"),
    HeaderName::from_static("settle-session"),
    HeaderName::from_static("settle-receipt"),
];

/// A replica answers by the call's deadline, and its answer needs a moment to come back.
const SLACK: Duration = Duration::from_millis(250);

/// The connections to other nodes' client API.
pub(super) struct Forward {
    client: Client,
}

/// A call that another node is to answer.
pub(super) struct Passed<'a> {
    /// The partition of its key.
    pub(super) partition: PartitionId,
    /// The method.
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// The headers that came with it.
    pub(super) headers: &'a HeaderMap,
    /// Its body.
    pub(super) body: Bytes,
    /// When the answer is due.
    pub(super) deadline: Instant,
}

/// Whether a call was passed on by another node.
pub(super) fn was_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// Path and query of a request.
pub(super) fn path_of(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), |path| path.as_str().to_owned())
}

impl Forward {
    /// `body_bytes_max`: of a reply.
    pub(super) fn new(body_bytes_max: usize) -> Self {
        let limits =
            ClientLimits { body_bytes: body_bytes_max, idle_connections: 64, ..ClientLimits::default() };
        Self { client: Client::new(limits) }
    }

    /// Passes a call on to the nearest replica that answers. One that says that it may not serve it, as when it is a step
    /// of a layout change ahead or behind, has not executed it: the next one is tried.
    pub(super) async fn pass(&self, node: &Node, routes: &Routes, passed: Passed<'_>) -> Response {
        let replicas = node.nearest(routes, passed.partition);
        let writes = !matches!(passed.method, Method::GET | Method::HEAD);
        let mut refused = None;
        for replica in replicas.iter().filter(|replica| replica.coordinates).map(|replica| &replica.peer) {
            match self.try_at(replica, &passed).await {
                Ok(response) if response.status() == StatusCode::MISDIRECTED_REQUEST => {
                    refused = Some(response);
                }
                Ok(response) => return response,
                // Its address is not known, as before it was ever connected.
                Err(None) => {}
                Err(Some(error)) => {
                    tracing::debug!(peer = replica.name, %error, "a call was not passed on");
                    if writes && error.sent.is_some() {
                        return problem::lost(&replica.name, &error.failure.to_string());
                    }
                }
            }
        }
        refused.unwrap_or_else(|| problem::unavailable(&Unavailable::TooFew { needed: 1, alive: 0 }))
    }

    async fn try_at(&self, replica: &Peer, passed: &Passed<'_>) -> Result<Response, Option<HttpError>> {
        let base: Base = replica.contact().api.parse().map_err(|_| None)?;
        let mut headers = carried(passed.headers);
        headers.insert(FORWARDED, HeaderValue::from_static("1"));
        let call = Call {
            method: passed.method.clone(),
            path: passed.path.clone(),
            headers,
            body: passed.body.clone(),
            deadline: passed.deadline.saturating_duration_since(Instant::now()) + SLACK,
        };
        let reply = self.client.send(&base, &call).await?;
        let none = HeaderValue::from_static("");
        let content_type = reply.headers.get(CONTENT_TYPE).cloned().unwrap_or(none);
        let mut response = with_content_type(reply.status, content_type, reply.body);
        if !reply.headers.contains_key(CONTENT_TYPE) {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        response.headers_mut().extend(carried(&reply.headers));
        Ok(response)
    }
}

fn carried(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in CARRIED {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}
