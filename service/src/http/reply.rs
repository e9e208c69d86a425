//! Replies: text, JSON, and problem documents (RFC 9457).

use ::http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Map, Value};

use super::Response;

/// What every `type` of a problem begins with; the rest is stable and says which problem it is.
pub const PROBLEM_PREFIX: &str = "urn:settle:problem:";

/// An error reply in the making, `application/problem+json`.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    headers: HeaderMap,
}

/// A reply without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// A reply with this body and content type.
pub fn with_content_type(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Plain text in UTF-8.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with_content_type(status, HeaderValue::from_static("text/plain; charset=utf-8"), body)
}

/// A JSON document.
pub fn json(status: StatusCode, body: &Value) -> Response {
    with_content_type(status, HeaderValue::from_static("application/json"), body.to_string())
}

// === impl Problem ===

impl Problem {
    /// `kind` is the stable end of the type, lower-case with dashes; `title` never varies for a kind.
    /// A `status` that HTTP does not know becomes 500.
    pub fn new(kind: &str, status: u16, title: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut members = Map::new();
        members.insert("type".to_owned(), format!("{PROBLEM_PREFIX}{kind}").into());
        members.insert("title".to_owned(), title.into());
        members.insert("status".to_owned(), status.as_u16().into());
        Self { status, members, headers: HeaderMap::new() }
    }

    /// What is wrong with this very request, where, and what to do.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        self.member("detail", detail.into())
    }

    /// A further member, such as `needed` or `alive`.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A header, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Closes the connection after the reply.
    #[must_use]
    pub fn closing(self) -> Self {
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// The reply.
    pub fn into_response(self) -> Response {
        let body = Value::Object(self.members).to_string();
        let mut response =
            with_content_type(self.status, HeaderValue::from_static("application/problem+json"), body);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn problem_document() {
        let problem = Problem::new("no-quorum", 503, "Not enough replicas")
            .detail("2 needed")
            .member("needed", 2)
            .header(::http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "1");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:settle:problem:no-quorum", "title": "Not enough replicas", "status": 503,
            "detail": "2 needed", "needed": 2,
        });
        assert_eq!(body, expected);
    }
}
