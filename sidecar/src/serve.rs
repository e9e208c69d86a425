//! The sidecar's own routes, beside the common ones of the service: its state as JSON and as text.

use std::sync::Arc;

use http::{Method, StatusCode};
use settle_service::admin::{method_not_allowed, not_found};
use settle_service::http::{Handler, Problem, Request, Response, json, text};

use crate::page;
use crate::prober::Prober;

/// See the module.
pub(crate) struct Routes {
    prober: Arc<Prober>,
}

// === impl Routes ===

impl Routes {
    pub(crate) fn new(prober: Arc<Prober>) -> Self {
        Self { prober }
    }

    fn state(&self) -> Response {
        match serde_json::to_value(self.prober.state()) {
            Ok(state) => json(StatusCode::OK, &state),
            Err(error) => {
                let problem = Problem::new("internal", 500, "The state cannot be shown");
                problem.detail(error.to_string()).into_response()
            }
        }
    }
}

impl Handler for Routes {
    async fn handle(&self, request: Request) -> Response {
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/v1/state" if reading => self.state(),
            "/" if reading => text(StatusCode::OK, page::render(&self.prober.state())),
            "/" | "/v1/state" => method_not_allowed("GET, HEAD"),
            _ => not_found("GET / shows the status, /v1/state all of it as JSON, /metrics serves Prometheus"),
        }
    }
}
