//! The program's own admin calls: `/v1/status`, `/v1/members`, `/v1/layout`, `/v1/lag`, `/v1/repair`.

mod layout;
mod paths;
mod placed;
mod repair;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use settle_service::admin::method_not_allowed;
use settle_service::http::{Handler, Request, Response, json as json_reply};

use crate::clock;
use crate::config::Advertised;
use crate::node::Node;
use crate::peer::buckets::{Mismatch, Rules};

/// Answers operators and sidecars.
pub(crate) struct AdminApi {
    /// The node.
    pub(crate) node: Arc<Node>,
    /// How others reach it.
    pub(crate) advertised: Advertised,
}

impl Handler for AdminApi {
    async fn handle(&self, request: Request) -> Response {
        if request.uri().path() == "/v1/layout" {
            return layout::handle(&self.node, request).await;
        }
        if let Some(rest) = request.uri().path().strip_prefix("/v1/repair")
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return repair::answer(&self.node, &request, rest).await;
        }
        let answer: fn(&Self) -> Value = match request.uri().path() {
            "/v1/status" => Self::status,
            "/v1/members" => Self::members,
            "/v1/lag" => Self::lag,
            _ => return paths::elsewhere(self, &request),
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return method_not_allowed("GET, HEAD");
        }
        json_reply(StatusCode::OK, &answer(self))
    }
}

/// What this node and another one declare differently.
fn bucket_mismatches(node: &Node) -> Vec<Value> {
    let rules =
        |rules: Option<Rules>| rules.map(|rules| json!({ "type": rules.kind, "resolver": rules.resolver }));
    let mismatches = node.bucket_mismatches().into_iter();
    mismatches
        .map(|(peer, Mismatch { bucket, here, there })| {
            json!({ "peer": peer, "bucket": bucket, "here": rules(here), "there": rules(there) })
        })
        .collect()
}

impl AdminApi {
    fn status(&self) -> Value {
        let node = &self.node;
        let config = node.config.load();
        let totals = node.totals();
        let reasons: Vec<Value> = node
            .readiness
            .reasons()
            .into_iter()
            .map(|(part, reason)| json!({ "part": part, "reason": reason }))
            .collect();
        json!({
            "name": config.boot.node.name,
            "node_id": node.origin.node.to_string(),
            "epoch": format!("{:x}", node.origin.epoch.0),
            "cluster": config.boot.cluster.name,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": clock::between(node.started, clock::now()).as_secs_f64(),
            "ready": reasons.is_empty(),
            "not_ready": reasons,
            "bucket_mismatches": bucket_mismatches(node),
            "partitions": totals.partitions,
            "partitions_syncing": totals.syncing,
            "keys": totals.keys,
            "log_records": totals.log_records,
            "storage_bytes": totals.storage_bytes,
        })
    }

    fn members(&self) -> Value {
        let node = &self.node;
        let config = node.config.load();
        let routes = node.routes();
        let replicas = node.partition_ids().map(|id| routes.of(id).sizes.0[0]).max();
        let own = json!({
            "name": config.boot.node.name,
            "node_id": node.origin.node.to_string(),
            "state": "self",
            "up": true,
            "api": self.advertised.api,
            "admin": self.advertised.admin,
            "peer": self.advertised.peer,
        });
        let (now, silence_max) = (clock::now(), node.silence_max());
        let peers = node.peers();
        let others = peers.iter().map(|peer| {
            let contact = peer.contact();
            let known = |address: &str| (!address.is_empty()).then(|| address.to_owned());
            let up = peer.is_up(now, silence_max);
            json!({
                "name": peer.name,
                "node_id": peer.node.to_string(),
                "state": peer.state(up),
                "up": up,
                "api": known(&contact.api),
                "admin": known(&contact.admin),
                "peer": known(&contact.peer),
                "diverged_partitions": node.diverged_partitions(peer.node),
            })
        });
        json!({
            "cluster": config.boot.cluster.name,
            "self": config.boot.node.name,
            "partitions": node.partition_count(),
            "replicas": replicas,
            "layout_version": routes.position().version,
            "members": std::iter::once(own).chain(others).collect::<Vec<_>>(),
        })
    }

    fn lag(&self) -> Value {
        let peers = self.node.peer_statuses().into_iter().map(|status| {
            let lag = json!({
                "proven_seconds": status.proven.then_some(status.lag.as_secs_f64()),
                "missing_writes": status.missing,
                "hints_pending": status.hints,
                "hints_oldest_seconds": status.hints_age.as_secs_f64(),
                "diverged_partitions": status.diverged,
            });
            (status.name, lag)
        });
        json!({ "peers": peers.collect::<serde_json::Map<_, _>>() })
    }
}
