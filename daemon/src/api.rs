//! The client API: `/v1/kv/...` and `/v1/keys/...`.

mod keys;
mod kv;
mod params;
mod problem;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use settle_service::admin::{method_not_allowed, not_found};
use settle_service::http::{Handler, Request, Response};
use settle_service::metrics::{Counter, Counters, MetricError, Metrics};

use crate::clock;
use crate::node::Node;

use params::{Params, percent_decode};

/// Answers clients.
pub(crate) struct Api {
    node: Arc<Node>,
    metrics: RequestMetrics,
    in_progress: AtomicUsize,
}

/// What a request was, for its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Get,
    Put,
    Delete,
    Keys,
}

/// A request's path, taken apart.
enum Route<'a> {
    Kv { bucket: &'a str, key: &'a str },
    Keys { bucket: &'a str },
}

struct RequestMetrics {
    requests: Counters<3>,
    seconds: settle_service::metrics::Histograms<2>,
    shed: Counter,
}

impl Api {
    pub(crate) fn new(node: Arc<Node>, metrics: &Metrics) -> Result<Self, MetricError> {
        let metrics = RequestMetrics::register(metrics)?;
        Ok(Self { node, metrics, in_progress: AtomicUsize::new(0) })
    }

    async fn route(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let Some(route) = parse_path(&path) else { return not_found() };
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
        let limit = self.node.config.load().live.limits.concurrent_requests;
        let _place = match Place::take(&self.in_progress, limit) {
            Some(place) => place,
            None => {
                self.metrics.shed.inc();
                return problem::too_many();
            }
        };
        let begun = clock::now();
        let params = match Params::parse(request.uri().query().unwrap_or_default(), op) {
            Ok(params) => params,
            Err(reason) => return problem::bad_request(reason),
        };
        let Some(bucket) = self.node.bucket(bucket) else { return problem::unknown_bucket(bucket) };
        let level = params.level.unwrap_or_else(|| self.default_level(op, &bucket.name));
        let response = match op {
            Op::Keys => keys::list(&self.node, &bucket.name, &params),
            Op::Get => kv::get(&self.node, &bucket, key, level, &params).await,
            Op::Put | Op::Delete => kv::write(&self.node, &bucket, key, level, &params, request).await,
        };
        let seconds = clock::between(begun, clock::now()).as_secs_f64();
        let outcome = outcome(&response);
        self.metrics.requests.with([op.name(), level.name(), outcome]).inc();
        self.metrics.seconds.with([op.name(), level.name()]).observe(seconds);
        response
    }

    fn default_level(&self, op: Op, bucket: &str) -> settle_core::level::Level {
        let config = self.node.config.load();
        match op {
            Op::Get | Op::Keys => config.live.read_level(bucket),
            Op::Put | Op::Delete => config.live.write_level(bucket),
        }
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

impl Op {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Keys => "keys",
        }
    }
}

impl RequestMetrics {
    fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let shed = metrics.counters(
            "settle_shed_requests_total",
            "Requests turned away: too many in progress (concurrency).",
            ["reason"],
        )?;
        Ok(Self {
            requests: metrics.counters(
                "settle_requests_total",
                "Data calls by operation (get, put, delete, keys), level and outcome: ok, not_found, invalid (the \
                 request), unavailable (too few replicas, or shed), late (deadline), full (disk) or error.",
                ["op", "level", "outcome"],
            )?,
            seconds: metrics.histograms(
                "settle_request_duration_seconds",
                "Time from a request's headers to its reply, by operation and level.",
                [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0].to_vec(),
                ["op", "level"],
            )?,
            shed: shed.with(["concurrency"]),
        })
    }
}

fn outcome(response: &Response) -> &'static str {
    match response.status().as_u16() {
        200..=399 => "ok",
        404 => "not_found",
        400..=499 => "invalid",
        503 => "unavailable",
        504 => "late",
        507 => "full",
        _ => "error",
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
