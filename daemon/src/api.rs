//! The client API: `/v1/kv/...` and `/v1/keys/...`.

mod keys;
mod kv;
mod metrics;
mod params;
mod problem;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use settle_service::admin::{method_not_allowed, not_found};
use settle_service::http::{Handler, Request, Response};
use settle_service::metrics::{MetricError, Metrics};

use crate::clock;
use crate::node::Node;

use metrics::{CallMetrics, Op};
use params::{Params, percent_decode};

/// Answers clients.
pub(crate) struct Api {
    node: Arc<Node>,
    metrics: CallMetrics,
    in_progress: AtomicUsize,
}

/// A request's path, taken apart.
enum Route<'a> {
    Kv { bucket: &'a str, key: &'a str },
    Keys { bucket: &'a str },
}

impl Api {
    pub(crate) fn new(node: Arc<Node>, metrics: &Metrics) -> Result<Self, MetricError> {
        let metrics = CallMetrics::register(metrics)?;
        Ok(Self { node, metrics, in_progress: AtomicUsize::new(0) })
    }

    async fn route(&self, request: Request) -> Response {
        // Shares the request's bytes; the request itself goes on to where its body is read.
        let uri = request.uri().clone();
        let Some(route) = parse_path(uri.path()) else { return not_found() };
        match (route, request.method()) {
            (Route::Keys { bucket }, &Method::GET) => self.measured(Op::Keys, bucket, b"", request).await,
            (Route::Keys { .. }, _) => method_not_allowed("GET"),
            (Route::Kv { bucket, key }, method) => {
                let op = match *method {
                    Method::GET | Method::HEAD => Op::Get,
                    Method::PUT => Op::Put,
                    Method::DELETE => Op::Delete,
                    _ => return method_not_allowed("GET, HEAD, PUT, DELETE"),
                };
                match percent_decode(key) {
                    Some(key) => self.measured(op, bucket, &key, request).await,
                    None => problem::bad_request("the key is not percent-encoded correctly"),
                }
            }
        }
    }

    /// Serves one data call, with its metrics, unless too many are in progress.
    async fn measured(&self, op: Op, bucket: &str, key: &[u8], request: Request) -> Response {
        let config = self.node.config.get();
        let Some(_place) = Place::take(&self.in_progress, config.live.limits.concurrent_requests) else {
            self.metrics.shed.inc();
            return problem::too_many();
        };
        let begun = clock::now();
        let params = match Params::parse(request.uri().query().unwrap_or_default(), op) {
            Ok(params) => params,
            Err(reason) => return problem::bad_request(reason),
        };
        let Some(bucket) = config.boot.bucket(bucket) else { return problem::unknown_bucket(bucket) };
        let level = params.level.unwrap_or_else(|| match op {
            Op::Get | Op::Keys => config.live.read_level(&bucket.name),
            Op::Put | Op::Delete => config.live.write_level(&bucket.name),
        });
        let response = match op {
            Op::Keys => keys::list(&self.node, &bucket.name, &params),
            Op::Get => kv::get(&self.node, bucket, key, level, &params).await,
            Op::Put | Op::Delete => kv::write(&self.node, bucket, key, level, &params, request).await,
        };
        self.metrics.ended(op, level, response.status(), clock::between(begun, clock::now()));
        response
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

fn parse_path(path: &str) -> Option<Route<'_>> {
    let mut parts = path.strip_prefix("/v1/")?.split('/');
    let route = match (parts.next()?, parts.next()?, parts.next()) {
        ("kv", bucket, Some(key)) => Route::Kv { bucket, key },
        ("keys", bucket, None) => Route::Keys { bucket },
        _ => return None,
    };
    parts.next().is_none().then_some(route)
}
