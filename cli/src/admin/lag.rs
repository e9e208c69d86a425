//! `settle lag`: how far the node is behind each of its peers, and they behind it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Form, document};
use crate::client::Servers;
use crate::columns::{Column, Table};
use crate::outcome::conclude;
use crate::terminal::{self, Line};
use crate::units::{count, seconds};

/// What to print.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    form: Form,
}

/// `/v1/lag`.
#[derive(Debug, Deserialize)]
pub(super) struct Lags {
    /// By the peers' names.
    pub(super) peers: BTreeMap<String, Lag>,
}

/// One peer's, in both directions.
#[derive(Debug, Deserialize)]
pub(super) struct Lag {
    /// Everything that was acknowledged through the peer longer ago than this is here; nothing when that
    /// was not proven since the node started.
    pub(super) proven_seconds: Option<f64>,
    /// Writes that the peer has and that are not here; nothing while it does not say.
    pub(super) missing_writes: Option<u64>,
    /// Writes that the peer is not known to have.
    pub(super) hints_pending: u64,
    pub(super) diverged_partitions: u64,
}

/// Prints the lag as the node that is asked proves it.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("lag", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let document = document(servers, "/v1/lag").await?;
    if arguments.form.json {
        terminal::print_json(&document)?;
    } else {
        let lags = Lags::deserialize(document).context("/v1/lag is not as expected")?;
        terminal::print(&lags.lines())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Lags {
    fn lines(&self) -> Vec<Line> {
        if self.peers.is_empty() {
            return vec![Line::plain("no peers are known: there is nobody to be behind")];
        }
        let mut table = Table::new([
            Column::Left("peer"),
            Column::Right("proven lag"),
            Column::Right("writes missing here"),
            Column::Right("writes to send"),
            Column::Right("diverged partitions"),
        ]);
        for (name, lag) in &self.peers {
            let Lag { missing_writes, hints_pending, diverged_partitions, .. } = *lag;
            let proven = lag.proven_seconds.map_or("unproven".to_owned(), |lag| seconds(Some(lag)));
            let cells = [
                name.clone(),
                proven,
                missing_writes.map_or("unknown".to_owned(), count),
                count(hints_pending),
                count(diverged_partitions),
            ];
            table.row(cells, lag.proven_seconds.is_none() || diverged_partitions > 0);
        }
        table.lines()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::terminal::Style;

    fn lines(document: serde_json::Value) -> Vec<Line> {
        Lags::deserialize(document).unwrap().lines()
    }

    #[test]
    fn a_lag_that_is_not_proven_is_no_number() {
        let lag = |proven: Option<f64>| {
            json!({"proven_seconds": proven, "missing_writes": proven.map(|_| 1200), "hints_pending": 7,
                   "diverged_partitions": 0})
        };
        let lines = lines(json!({"peers": {"n2": lag(Some(0.035)), "n3": lag(None)}}));
        let words: Vec<Vec<&str>> = lines.iter().map(|line| line.text.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["n2", "35", "ms", "1,200", "7", "0"]);
        assert_eq!(words[2], ["n3", "unproven", "unknown", "7", "0"]);
        assert_eq!((lines[1].style, lines[2].style), (Style::Plain, Style::Alarm));
    }

    #[test]
    fn a_node_alone_is_behind_nobody() {
        assert!(lines(json!({"peers": {}}))[0].text.contains("no peers"));
    }
}
