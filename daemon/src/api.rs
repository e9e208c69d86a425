//! The client API: `/v1/kv/...` and `/v1/keys/...`.

mod forward;
mod keys;
mod kv;
mod metrics;
pub(crate) mod params;
mod paths;
mod problem;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use settle_core::key::{Key, PartitionId};
use settle_core::level::Level;
use settle_service::admin::method_not_allowed;
use settle_service::http::{Handler, Request, Response, read_body};
use settle_service::metrics::{MetricError, Metrics};
use tokio::time::Instant;

use crate::clock;
use crate::config::Config;
use crate::node::Node;
use crate::node::route::Routes;

use forward::{Forward, Passed, path_of, was_forwarded};
use metrics::{CallMetrics, Op};
use params::{Params, asked_level, percent_decode};
use paths::Route;

/// The longest reply that is passed on.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Answers clients.
pub(crate) struct Api {
    node: Arc<Node>,
    metrics: CallMetrics,
    in_progress: AtomicUsize,
    forward: Forward,
}

/// A data call, taken apart as far as it could be.
struct Call<'a> {
    op: Op,
    level: Level,
    bucket: &'a str,
    /// Still percent-encoded; empty for keys.
    key: &'a str,
    params: Result<Params, String>,
}

impl Api {
    pub(crate) fn new(node: Arc<Node>, metrics: &Metrics) -> Result<Self, MetricError> {
        let metrics = CallMetrics::register(metrics)?;
        // Whatever a replica may answer: a value, or all siblings of a key in their JSON form.
        let forward = Forward::new(REPLY_BYTES_MAX);
        Ok(Self { node, metrics, in_progress: AtomicUsize::new(0), forward })
    }

    async fn route(&self, request: Request) -> Response {
        // Shares the request's bytes; the request itself goes on to where its body is read.
        let uri = request.uri().clone();
        let Some(route) = Route::parse(uri.path()) else { return paths::not_found(&self.node, uri.path()) };
        match (route, request.method()) {
            (Route::Index, &Method::GET | &Method::HEAD) => paths::index(&self.node),
            (Route::Index, _) => method_not_allowed("GET, HEAD"),
            (Route::Keys { bucket }, &Method::GET) => self.measured(Op::Keys, bucket, "", request).await,
            (Route::Keys { .. }, _) => method_not_allowed("GET"),
            (Route::Kv { bucket, key }, method) => {
                let op = match *method {
                    Method::GET | Method::HEAD => Op::Get,
                    Method::PUT => Op::Put,
                    Method::DELETE => Op::Delete,
                    _ => return method_not_allowed("GET, HEAD, PUT, DELETE"),
                };
                self.measured(op, bucket, key, request).await
            }
        }
    }

    /// Serves one data call, unless too many are in progress, and counts it, however it ends.
    async fn measured(&self, op: Op, bucket: &str, key: &str, request: Request) -> Response {
        let begun = clock::now();
        let config = self.node.config.get();
        let query = request.uri().query().unwrap_or_default();
        let params = Params::parse(query, op);
        let asked = match &params {
            Ok(params) => params.level,
            Err(_) => asked_level(query, op),
        };
        let level = asked.unwrap_or_else(|| match op {
            Op::Get | Op::Keys => config.live.read_level(bucket),
            Op::Put | Op::Delete => config.live.write_level(bucket),
        });
        let response = match Place::take(&self.in_progress, config.live.limits.concurrent_requests) {
            Some(_place) => {
                let call = Call { op, level, bucket, key, params };
                self.answer(&config, call, request).await
            }
            None => {
                self.metrics.shed.inc();
                problem::too_many()
            }
        };
        self.metrics.ended(op, level, response.status(), clock::between(begun, clock::now()));
        response
    }

    async fn answer(&self, config: &Config, call: Call<'_>, request: Request) -> Response {
        let params = match call.params {
            Ok(params) => params,
            Err(reason) => return problem::bad_request(reason),
        };
        let Some(key) = percent_decode(call.key) else {
            return problem::bad_request("the key is not percent-encoded correctly");
        };
        let Some(bucket) = config.boot.bucket(call.bucket) else {
            return problem::unknown_bucket(call.bucket);
        };
        if let Some(refused) = kv::check_key(&self.node, &key).filter(|_| call.op != Op::Keys) {
            return refused;
        }
        let id = Key::new(&bucket.name, &key).partition(self.node.partition_count());
        // The call looks at no others: this is where it began.
        let routes = self.node.routes_for_request();
        let elsewhere = routes.of(id).is_known() && !routes.of(id).coordinates;
        if elsewhere && call.op != Op::Keys && !params.own && !was_forwarded(request.headers()) {
            return self.pass(&routes, id, kv::deadline(&self.node, &params), request).await;
        }
        match call.op {
            Op::Keys => keys::list(&self.node, &self.forward, &routes, &bucket.name, &params, &request).await,
            Op::Get => kv::get(&self.node, routes, bucket, &key, call.level, &params).await,
            Op::Put | Op::Delete => {
                kv::write(&self.node, routes, bucket, &key, call.level, &params, request).await
            }
        }
    }
}

impl Api {
    /// Passes a call on to a replica of its key.
    async fn pass(
        &self,
        routes: &Routes,
        partition: PartitionId,
        deadline: Instant,
        request: Request,
    ) -> Response {
        let (head, body) = request.into_parts();
        let limit = self.node.config.load().live.limits.value_bytes;
        let body = match read_body(body, limit, kv::left(deadline)).await {
            Ok(body) => body,
            Err(error) => return error.into_response(),
        };
        let path = path_of(&head.uri);
        let (method, headers) = (head.method, &head.headers);
        let passed = Passed { partition, method, path, headers, body, deadline };
        self.forward.pass(&self.node, routes, passed).await
    }
}

impl Handler for Api {
    async fn handle(&self, request: Request) -> Response {
        self.route(request).await
    }
}

/// A request's place among those in progress, given back when it ends, however it ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(count: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let place = Self(count);
        let before = count.fetch_add(1, Ordering::Relaxed);
        (before < limit).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
