//! The routes every process of ours has: metrics, liveness, readiness and reload.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::header::{ALLOW, HeaderValue};
use ::http::{Method, StatusCode};

use crate::http::{Handler, Problem, Request, Response, text, with_content_type};
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::reload::{ReloadError, Reloader};

/// Which parts of the process are ready, and why the others are not; clones share it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Part>>>);

#[derive(Debug)]
enum Part {
    Ready,
    NotReady(String),
    /// Not ready until the process is restarted.
    Failed(String),
}

/// Serves the common routes and hands everything else to the program's own handler.
pub struct Admin<H> {
    metrics: Metrics,
    readiness: Readiness,
    reloader: Option<Reloader>,
    own: H,
}

// === impl Readiness ===

impl Readiness {
    /// The parts that must be ready before the process is; all of them are starting.
    pub fn new(parts: &[&str]) -> Self {
        let starting = |part: &&str| ((*part).to_owned(), Part::NotReady("starting".to_owned()));
        Self(Arc::new(Mutex::new(parts.iter().map(starting).collect())))
    }

    /// Sets a part, new or known, to ready or to the reason why it is not. A failed part stays so.
    pub fn set(&self, part: &str, state: Result<(), String>) {
        self.with(|parts| match parts.get(part) {
            Some(Part::Failed(_)) => {}
            _ => {
                let state = state.map_or_else(Part::NotReady, |()| Part::Ready);
                parts.insert(part.to_owned(), state);
            }
        });
    }

    /// Marks a part as failed for the rest of the process's life.
    pub fn fail(&self, part: &str, reason: impl Into<String>) {
        self.with(|parts| parts.insert(part.to_owned(), Part::Failed(reason.into())));
    }

    /// True when every part is ready.
    pub fn is_ready(&self) -> bool {
        self.with(|parts| parts.values().all(|part| matches!(part, Part::Ready)))
    }

    /// The parts that are not ready, with the reason.
    pub fn reasons(&self) -> Vec<(String, String)> {
        self.with(|parts| {
            let reason = |(name, part): (&String, &Part)| match part {
                Part::Ready => None,
                Part::NotReady(why) => Some((name.clone(), why.clone())),
                Part::Failed(why) => Some((name.clone(), format!("failed: {why}; restart the process"))),
            };
            parts.iter().filter_map(reason).collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Part>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Admin ===

impl<H: Handler> Admin<H> {
    /// Without a reloader, `POST /-/reload` says that there is nothing to reload.
    pub fn new(metrics: Metrics, readiness: Readiness, reloader: Option<Reloader>, own: H) -> Self {
        Self { metrics, readiness, reloader, own }
    }

    fn ready(&self) -> Response {
        let reasons = self.readiness.reasons();
        if reasons.is_empty() {
            return text(StatusCode::OK, "ready\n");
        }
        let lines: String = reasons.iter().map(|(part, why)| format!("not ready: {part}: {why}\n")).collect();
        text(StatusCode::SERVICE_UNAVAILABLE, lines)
    }

    async fn reload(&self) -> Response {
        let Some(reloader) = &self.reloader else {
            let problem = Problem::new("nothing-to-reload", 409, "There is nothing to reload");
            return problem.detail("the program runs on built-in defaults").into_response();
        };
        match reloader.reload("POST /-/reload").await {
            Ok(changed) if changed.is_empty() => text(StatusCode::OK, "reloaded; nothing changed\n"),
            Ok(changed) => text(StatusCode::OK, format!("reloaded; changed: {}\n", changed.join(", "))),
            Err(error) => refusal(&error),
        }
    }
}

impl<H: Handler> Handler for Admin<H> {
    async fn handle(&self, request: Request) -> Response {
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/metrics" if reading => {
                let page = self.metrics.render();
                with_content_type(StatusCode::OK, HeaderValue::from_static(CONTENT_TYPE), page)
            }
            "/healthz" if reading => text(StatusCode::OK, "ok\n"),
            "/readyz" if reading => self.ready(),
            "/-/reload" if request.method() == Method::POST => self.reload().await,
            "/metrics" | "/healthz" | "/readyz" => method_not_allowed("GET, HEAD"),
            "/-/reload" => method_not_allowed("POST"),
            _ => self.own.handle(request).await,
        }
    }
}

fn refusal(error: &ReloadError) -> Response {
    let (kind, status, title) = match error {
        ReloadError::Invalid(_) => ("configuration-invalid", 500, "The configuration is invalid"),
        ReloadError::NeedsRestart(_) => ("needs-restart", 409, "The change needs a restart"),
        ReloadError::Interrupted => ("reload-interrupted", 500, "The reload failed"),
    };
    Problem::new(kind, status, title).detail(error.to_string()).into_response()
}

/// 405 with the methods that are allowed.
pub fn method_not_allowed(allowed: &'static str) -> Response {
    Problem::new("method-not-allowed", 405, "The method is not allowed here")
        .header(ALLOW, HeaderValue::from_static(allowed))
        .into_response()
}

/// 404 for a path nobody serves; `hint` says where to look instead.
pub fn not_found(hint: impl Into<String>) -> Response {
    Problem::new("not-found", 404, "There is nothing at this path").detail(hint).into_response()
}

#[cfg(test)]
mod tests;
