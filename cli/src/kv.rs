//! Reading and writing keys: what `settle get`, `put` and `delete` have in common.

mod contexts;
pub mod delete;
pub mod get;
mod key;
pub mod put;
mod siblings;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use settle_wire::http::kv::{CONTEXT, Options};
use settle_wire::http::{HeaderMap, Response};

use crate::outcome::say;

use contexts::Contexts;
use key::Key;

/// Without `--timeout`: longer than a node takes by default, short enough for somebody who waits.
const WAIT_DEFAULT: Duration = Duration::from_secs(15);

/// Beyond `--timeout`, so that the node's own verdict still arrives.
const WAIT_EXTRA: Duration = Duration::from_secs(2);

/// How a key is read or written.
#[derive(Debug, Clone, clap::Args)]
struct Manner {
    /// How many replicas must answer a read or hold a write. [default: the bucket's]
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// How long the node may try, such as "500ms". [default: the node's consistency.timeout]
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Remembers in FILE what you have seen of the key, and tells it with the next write: that then
    /// replaces what you saw and nothing else. One file serves any number of keys.
    #[arg(long, value_name = "FILE")]
    context_file: Option<PathBuf>,
}

/// Consistency levels, by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Level {
    Any,
    One,
    Two,
    Three,
    LocalOne,
    Quorum,
    LocalQuorum,
    EachQuorum,
    All,
    Adaptive,
}

impl Manner {
    /// What the node is told; `contexts` with writes only.
    fn options<'a>(&self, contexts: Option<&'a Contexts>) -> Options<'a> {
        Options {
            level: self.level.map(Level::name),
            own_replica: false,
            timeout: self.timeout,
            context: contexts.and_then(Contexts::known),
        }
    }

    /// How long to wait for the reply.
    fn wait(&self) -> Duration {
        self.timeout.map_or(WAIT_DEFAULT, |timeout| timeout.saturating_add(WAIT_EXTRA))
    }

    /// What is remembered of the key, if that was asked for.
    fn contexts(&self, key: &Key) -> Result<Option<Contexts>> {
        self.context_file.as_ref().map(|file| Contexts::read(file, key)).transpose()
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::One => "one",
            Self::Two => "two",
            Self::Three => "three",
            Self::LocalOne => "local_one",
            Self::Quorum => "quorum",
            Self::LocalQuorum => "local_quorum",
            Self::EachQuorum => "each_quorum",
            Self::All => "all",
            Self::Adaptive => "adaptive",
        }
    }
}

/// Remembers the context of a reply, if that was asked for and it has one.
fn remember(contexts: Option<Contexts>, headers: &HeaderMap) -> Result<()> {
    match contexts.zip(headers.get(CONTEXT)) {
        Some((contexts, context)) => contexts.remember(context),
        None => Ok(()),
    }
}

/// After a refusal: a write that may still take effect has a context too, and the next one then replaces
/// it. The refusal is what the user must hear of; this comes second.
fn remember_refused(command: &str, contexts: Option<Contexts>, headers: &HeaderMap) {
    if let Err(error) = remember(contexts, headers) {
        say(command, &format!("{error:#}"));
    }
}

/// The context of a reply, as text.
fn context(response: &Response) -> Option<&str> {
    response.header(CONTEXT.as_str())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = settle_service::config::parse_duration(text)?;
    if timeout.is_zero() { Err("expected more than no time at all".to_owned()) } else { Ok(timeout) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_called_what_the_interface_calls_them() {
        for level in Level::value_variants() {
            let option = level.to_possible_value().unwrap();
            assert_eq!(option.get_name(), level.name());
        }
    }

    #[test]
    fn no_time_is_no_timeout() {
        assert_eq!(timeout("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(timeout("0ms").is_err() && timeout("soon").is_err());
    }
}
