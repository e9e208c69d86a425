//! What a node says when it refuses (RFC 9457), in words for people.

use std::fmt;

use hyper::StatusCode;
use serde::Deserialize;
use settle_service::http::PROBLEM_PREFIX;
use settle_wire::http::Response;

use crate::terminal::harmless;
use crate::units::seconds;

/// How much of a reply that is no problem document is quoted, in characters.
const QUOTED_CHARS_MAX: usize = 200;

/// What to know after a change whose fate is open, in a line of its own.
pub(super) const MAY_TAKE_EFFECT: &str = "\n  it may still take effect: check before you repeat it";

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Whether the call was to change something.
    changing: bool,
    document: Option<Document>,
    /// The beginning of a reply that is no such document.
    text: String,
}

/// The members of the document that are put into words. All may be missing.
#[derive(Debug, Default, Deserialize)]
struct Document {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    needed: Option<u64>,
    alive: Option<u64>,
    may_take_effect: Option<bool>,
    provable_staleness: Option<f64>,
}

impl Problem {
    /// Reads the reply to a call that failed.
    pub(super) fn of(response: &Response, changing: bool) -> Self {
        let typed =
            response.header("content-type").is_some_and(|kind| kind.starts_with("application/problem"));
        let document = serde_json::from_slice(&response.body).ok().filter(|_| typed);
        let text = String::from_utf8_lossy(&response.body);
        let text = text.trim().chars().take(QUOTED_CHARS_MAX).collect();
        Self { status: response.status, changing, document, text }
    }

    /// Whether the path or the method is unknown there, rather than what the path names.
    pub(super) fn is_no_such_call(&self) -> bool {
        let kind = self.document.as_ref().and_then(|document| document.kind.strip_prefix(PROBLEM_PREFIX));
        match self.status {
            StatusCode::NOT_FOUND => kind.is_none_or(|kind| kind == "not-found"),
            status => status == StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// What to know or to do beyond the node's own words.
    fn advice(&self, document: &Document) -> String {
        let mut advice = String::new();
        if let (Some(needed), Some(alive)) = (document.needed, document.alive) {
            advice += &format!(
                "\n  needed: {needed}, alive: {alive}; `settle members` shows who is down, \
                 and a lower --level needs fewer"
            );
        }
        if let Some(staleness) = document.provable_staleness {
            advice += &format!("\n  what can be proven is {}", seconds(Some(staleness)));
        }
        match document.may_take_effect {
            Some(true) => advice += MAY_TAKE_EFFECT,
            Some(false) if self.changing => advice += "\n  it will not take effect",
            _ => {}
        }
        advice
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(document) = &self.document else {
            return write!(f, "status {}: {}", self.status, harmless(&self.text));
        };
        let title = harmless(&lower_first(&document.title));
        let detail = harmless(&document.detail);
        match (title.as_str(), detail.as_str()) {
            ("", "") => write!(f, "status {}", self.status)?,
            (one, "") | ("", one) => f.write_str(one)?,
            (title, detail) => write!(f, "{title}: {detail}")?,
        }
        f.write_str(&self.advice(document))
    }
}

/// A title is a sentence of its own; here it goes on after a colon.
fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
