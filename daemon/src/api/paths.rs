//! What is at the paths of the API port, and where else a client may have wanted to go.

use http::StatusCode;
use settle_service::http::{Response, text};

use crate::node::Node;

/// Paths that the admin port serves.
const OF_ADMIN: [&str; 9] = [
    "/metrics",
    "/healthz",
    "/readyz",
    "/-/",
    "/v1/status",
    "/v1/members",
    "/v1/lag",
    "/v1/layout",
    "/v1/barrier",
];

/// A request's path, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// What is here.
    Index,
    /// A key, still percent-encoded.
    Kv { bucket: &'a str, key: &'a str },
    /// The keys of a bucket.
    Keys { bucket: &'a str },
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        if path == "/" {
            return Some(Self::Index);
        }
        let mut parts = path.strip_prefix("/v1/")?.split('/');
        let route = match (parts.next()?, parts.next()?, parts.next()) {
            ("kv", bucket, Some(key)) => Self::Kv { bucket, key },
            ("keys", bucket, None) => Self::Keys { bucket },
            _ => return None,
        };
        parts.next().is_none().then_some(route)
    }
}

/// `GET /`.
pub(super) fn index(node: &Node) -> Response {
    let boot = &node.config.load().boot;
    text(
        StatusCode::OK,
        format!(
            "settled {}, node {} of cluster {}: the API port, for clients (listen.api)\n\n\
             GET, PUT, DELETE /v1/kv/{{bucket}}/{{key}}   one key; a / in it as %2F\n\
             GET /v1/keys/{{bucket}}?prefix=&limit=     a page of keys\n\n\
             /metrics, /readyz, /v1/status and the like are on the admin port (listen.admin, {})\n",
            env!("CARGO_PKG_VERSION"),
            boot.node.name,
            boot.cluster.name,
            boot.listen.admin,
        ),
    )
}

/// 404 with what was probably meant.
pub(super) fn not_found(node: &Node, path: &str) -> Response {
    let admin = node.config.load().boot.listen.admin.to_string();
    settle_service::admin::not_found(hint(path, &admin))
}

fn hint(path: &str, admin: &str) -> String {
    let is_of_admin = |known: &str| {
        path.strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || known.ends_with('/'))
    };
    if OF_ADMIN.iter().any(|known| is_of_admin(known)) {
        return format!(
            "this is the API port, for clients; the admin port serves this path (listen.admin, {admin})"
        );
    }
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("v1"), Some("kv"), Some(bucket), Some(key)) if !bucket.is_empty() => {
            let rest: String = parts.map(|part| format!("%2F{part}")).collect();
            format!("a key is one part of the path, a / in it is written %2F: /v1/kv/{bucket}/{key}{rest}")
        }
        (Some("v1"), Some("kv"), bucket, None) => {
            let bucket = bucket.filter(|bucket| !bucket.is_empty()).unwrap_or("{bucket}");
            format!(
                "the key is missing: /v1/kv/{bucket}/{{key}}; GET /v1/keys/{bucket} lists the keys that there are"
            )
        }
        (Some("v1"), Some("keys"), bucket, None) if bucket.is_none_or(str::is_empty) => {
            "the bucket is missing: GET /v1/keys/{bucket}".to_owned()
        }
        _ => "GET / says what is here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(Route::parse("/"), Some(Route::Index));
        assert_eq!(Route::parse("/v1/kv/b/k%2Fl"), Some(Route::Kv { bucket: "b", key: "k%2Fl" }));
        assert_eq!(Route::parse("/v1/keys/b"), Some(Route::Keys { bucket: "b" }));
        for path in ["", "//", "/v1", "/v1/kv", "/v1/kv/b", "/v1/kv/b/k/l", "/v1/keys/b/", "/v2/kv/b/k"] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        for (path, expected) in [
            ("/metrics", "listen.admin, a:1"),
            ("/-/reload", "listen.admin, a:1"),
            ("/v1/barrier/7", "listen.admin, a:1"),
            ("/v1/kv/b/k/l/m", "/v1/kv/b/k%2Fl%2Fm"),
            ("/v1/kv/b", "/v1/kv/b/{key}; GET /v1/keys/b lists"),
            ("/v1/kv", "/v1/kv/{bucket}/{key}"),
            ("/v1/keys", "the bucket is missing"),
            ("/v1/lagging", "GET / says"),
            ("/v2/kv/b/k", "GET / says"),
        ] {
            let said = hint(path, "a:1");
            assert!(said.contains(expected), "{path}: {said}");
        }
    }
}
