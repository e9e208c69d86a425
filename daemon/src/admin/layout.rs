//! `/v1/layout`: which nodes hold which share of the data, how far a change is, and the beginning of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use settle_core::dot::NodeId;
use settle_core::key::PartitionId;
use settle_core::layout::Layout;
use settle_core::layout::steps::{Change, LayoutState};
use settle_core::placement::{Host, Replication};
use settle_service::admin::method_not_allowed;
use settle_service::http::{Problem, Request, Response, json as json_reply, read_body};

use super::placed;
use crate::clock;
use crate::node::Node;
use crate::node::propose::ProposeError;
use crate::worker::steps::pulled;

/// The longest body of a change.
const BODY_BYTES_MAX: usize = 4 << 10;

/// How long a body may take.
const BODY: Duration = Duration::from_secs(5);

/// What an operator wants to change; each names a node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Wanted {
    /// It gets its share of the data.
    Add(String),
    /// It hands over what it holds.
    Drain(String),
    /// It leaves the layout; it holds nothing, and is stopped.
    Remove(String),
}

/// Why a change makes no sense.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no node named {0:?} is known; GET /v1/members names those that are")]
    Unknown(String),
    #[error("node {0} holds its share of the data already")]
    Holds(String),
    #[error("node {0} is not in the layout; there is nothing to drain or to remove")]
    NotInLayout(String),
    #[error("node {0} holds its share of the data; drain it first")]
    NotDrained(String),
    #[error("node {0} is up: it would join again; stop it first")]
    IsUp(String),
    #[error("node {0} is down, and could not fetch its share of the data; start it first")]
    IsDown(String),
    #[error("the node is shutting down")]
    Closing,
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Answers `/v1/layout`.
pub(super) async fn handle(node: &Arc<Node>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => match placed::replicas(node, request.uri().query().unwrap_or_default())
        {
            Ok(None) => json_reply(StatusCode::OK, &document(node)),
            Ok(Some(replicas)) => {
                let version = node.layout().map_or(0, |state| state.current().version);
                json_reply(StatusCode::OK, &json!({ "version": version, "replicas": replicas }))
            }
            Err(reason) => bad_request(reason),
        },
        Method::POST => {
            let body = match read_body(request.into_body(), BODY_BYTES_MAX, BODY).await {
                Ok(body) => body,
                Err(error) => return error.into_response(),
            };
            let wanted = match serde_json::from_slice::<Wanted>(&body) {
                Ok(wanted) => wanted,
                Err(error) => return malformed(&error),
            };
            // To its end, also when nobody waits for the answer any more.
            let changing = Arc::clone(node);
            let changed = tokio::spawn(async move { change(&changing, wanted).await });
            match changed.await.unwrap_or(Err(Refused::Closing)) {
                Ok(()) => json_reply(StatusCode::OK, &document(node)),
                Err(refused) => refused.into_response(),
            }
        }
        _ => method_not_allowed("GET, HEAD, POST"),
    }
}

fn malformed(error: &serde_json::Error) -> Response {
    let detail = format!(
        "{error}; a change is {{\"add\": NODE}}, {{\"drain\": NODE}} or {{\"remove\": NODE}}, with a node's name"
    );
    bad_request(detail)
}

fn bad_request(detail: String) -> Response {
    Problem::new("bad-request", 400, "The request is not valid").detail(detail).into_response()
}

impl Refused {
    fn into_response(self) -> Response {
        let (kind, status, title) = match &self {
            Self::Unknown(_) => ("unknown-node", 404, "There is no such node"),
            Self::Holds(_) | Self::NotInLayout(_) | Self::NotDrained(_) | Self::IsUp(_) | Self::IsDown(_) => {
                ("not-possible", 409, "The layout cannot change so")
            }
            Self::Propose(ProposeError::Placement(_)) => ("not-possible", 409, "The layout cannot change so"),
            Self::Propose(ProposeError::InProgress { .. } | ProposeError::Overtaken { .. }) => {
                ("change-in-progress", 409, "The layout is changing already")
            }
            Self::Closing | Self::Propose(_) => ("not-decided", 503, "The change was not decided"),
        };
        Problem::new(kind, status, title).detail(self.to_string()).into_response()
    }
}

/// Begins a change.
async fn change(node: &Node, wanted: Wanted) -> Result<(), Refused> {
    let state = node.layout().ok_or(ProposeError::NotBorn)?;
    let hosts = wanted.hosts(node, state.current())?;
    let summary = node.propose(hosts).await?;
    for warning in &summary.warnings {
        tracing::warn!(%warning, "the next layout");
    }
    tracing::info!(?wanted, moves = summary.moves, "the layout changes");
    Ok(())
}

impl Wanted {
    /// The nodes of the layout that is wanted.
    fn hosts(&self, node: &Node, current: &Layout) -> Result<Vec<Host>, Refused> {
        let mut hosts = current.hosts().to_vec();
        let at = |name: &String| current.hosts().iter().position(|host| host.name == *name);
        let known = |name: &String| match node.roster().by_name(name) {
            Some(_) => Refused::NotInLayout(name.clone()),
            None => Refused::Unknown(name.clone()),
        };
        match self {
            Self::Add(name) => match at(name).and_then(|at| hosts.get_mut(at)) {
                Some(host) if host.holds_data => return Err(Refused::Holds(name.clone())),
                Some(host) if !is_up(node, host.node) => return Err(Refused::IsDown(name.clone())),
                Some(host) => host.holds_data = true,
                None => hosts.push(joining(node, name)?),
            },
            Self::Drain(name) => {
                let host = at(name).and_then(|at| hosts.get_mut(at)).ok_or_else(|| known(name))?;
                host.holds_data = false;
            }
            Self::Remove(name) => {
                let at = at(name).ok_or_else(|| known(name))?;
                let leaving = hosts.remove(at);
                if leaving.holds_data || held(current, leaving.node) > 0 {
                    return Err(Refused::NotDrained(name.clone()));
                }
                if is_up(node, leaving.node) {
                    return Err(Refused::IsUp(name.clone()));
                }
            }
        }
        Ok(hosts)
    }
}

/// A node that is not in the layout yet.
fn joining(node: &Node, name: &str) -> Result<Host, Refused> {
    if name == node.config.load().boot.node.name {
        return Ok(node.host());
    }
    let peers = node.peers();
    let peer = peers.iter().find(|peer| peer.name == name);
    let peer = peer.ok_or_else(|| Refused::Unknown(name.to_owned()))?;
    if !is_up(node, peer.node) {
        return Err(Refused::IsDown(name.to_owned()));
    }
    Ok(peer.host())
}

/// Whether a node answers; this one does.
fn is_up(node: &Node, id: NodeId) -> bool {
    if id == node.origin.node {
        return true;
    }
    node.peer(id).is_some_and(|peer| peer.is_up(clock::now(), node.silence_max()))
}

/// How many partitions a node holds.
fn held(layout: &Layout, node: NodeId) -> usize {
    ids(layout).filter(|id| layout.holds(node, *id)).count()
}

fn ids(layout: &Layout) -> impl Iterator<Item = PartitionId> {
    PartitionId::each(layout.partitions())
}

/// The layout as this node knows it.
fn document(node: &Node) -> Value {
    let Some(state) = node.layout() else {
        return json!({ "version": 0, "replication": null, "hosts": [], "waiting": [], "change": null });
    };
    let current = state.current();
    let joining = state.change().into_iter().flat_map(|change| change.next.hosts());
    let joining = joining.filter(|host| current.host(host.node).is_none());
    let hosts = current.hosts().iter().chain(joining).map(|host| {
        let is_host = current.host(host.node).is_some();
        json!({
            "name": host.name,
            "node_id": host.node.to_string(),
            "datacenter": host.datacenter,
            "zone": host.zone,
            "weight": host.weight,
            "holds_data": is_host && host.holds_data,
            "partitions": held(current, host.node),
            "partitions_next": state.change().map(|change| held(&change.next, host.node)),
        })
    });
    let mut hosts: Vec<Value> = hosts.collect();
    hosts.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    json!({
        "version": current.version,
        "replication": replication(current.replication()),
        "partitions": current.partitions(),
        "hosts": hosts,
        "without_data": without_data(node, &state),
        "change": state.change().map(|change| progress(node, &state, change)),
    })
}

/// The nodes that are up and in no layout.
fn without_data(node: &Node, state: &LayoutState) -> Vec<String> {
    let roster = node.roster();
    let others = roster.members().iter().filter(|member| {
        let next = state.change().and_then(|change| change.next.host(member.node));
        state.current().host(member.node).or(next).is_none() && is_up(node, member.node)
    });
    others.map(|member| member.name.clone()).collect()
}

fn replication(replication: &Replication) -> Value {
    match replication {
        Replication::Everywhere(replicas) => json!(replicas),
        Replication::PerDatacenter(table) => json!(table.iter().collect::<BTreeMap<_, _>>()),
    }
}

fn progress(node: &Node, state: &LayoutState, change: &Change) -> Value {
    let moves: usize = ids(&change.next)
        .map(|id| change.next.replicas(id).filter(|node| !state.current().holds(*node, id)).count())
        .sum();
    let waiting: Vec<String> = node.waiting_for().into_iter().map(|node| state.name(node)).collect();
    let (pulled, pulls) = pulled(node, state);
    json!({
        "next_version": change.next.version,
        "step": change.step.number(),
        "steps": 5,
        "waiting_for": waiting,
        "moves": moves,
        "pulled_here": pulled,
        "pulls_here": pulls,
        "progress_ratio": node.layout_progress(),
    })
}
