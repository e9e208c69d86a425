//! What is at the paths of the admin port, and where else a caller may have wanted to go.

use http::{Method, StatusCode};
use settle_service::admin::{method_not_allowed, not_found};
use settle_service::http::{Request, Response, text};

use super::AdminApi;

/// What the admin port serves.
const INDEX: &str = "\
GET /metrics       for Prometheus
GET /healthz       whether the process answers
GET /readyz        whether it is ready, else which part is not and why
GET /v1/status     the node: what it holds, why it is not ready, buckets that others declare differently
GET /v1/members    the nodes of the cluster as this one knows them
GET /v1/layout     which nodes hold which share of the data, and how far a change is
POST /v1/layout    {\"add\": NODE}, {\"drain\": NODE} or {\"remove\": NODE}: begin a change
GET /v1/lag        per peer: proven lag, missing writes, what waits to be sent
POST /v1/repair    compare all that the node holds with the other replicas, mend what differs; GET /v1/repair/{id}?wait=10s
POST /-/reload     load the configuration anew
";

/// `GET /` and the paths that nobody serves.
pub(super) fn elsewhere(own: &AdminApi, request: &Request) -> Response {
    let (path, api) = (request.uri().path(), &own.advertised.api);
    if path != "/" {
        return not_found(hint(path, api));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed("GET, HEAD");
    }
    let boot = &own.node.config.load().boot;
    let (version, name, cluster) = (env!("CARGO_PKG_VERSION"), &boot.node.name, &boot.cluster.name);
    text(
        StatusCode::OK,
        format!(
            "settled {version}, node {name} of cluster {cluster}: the admin port, for operators (listen.admin)\n\n{INDEX}\n\
             Keys are read and written at the API port (listen.api, {api})\n"
        ),
    )
}

fn hint(path: &str, api: &str) -> String {
    let is_of_api = ["/v1/kv", "/v1/keys"]
        .iter()
        .any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    match is_of_api {
        true => format!(
            "this is the admin port, for operators; the API port serves this path (listen.api, {api})"
        ),
        false => "GET / says what is here".to_owned(),
    }
}
