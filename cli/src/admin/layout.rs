//! `settle layout`: which nodes hold which share of the data, and how far a change of that is.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Form, document, generic, post};
use crate::client::Servers;
use crate::columns::{Column, Table};
use crate::outcome::conclude;
use crate::terminal::{self, Line, harmless};
use crate::units::counted;

/// What to print, or to change.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Gives a node that has joined, or was drained, its share of the data.
    #[arg(long, value_name = "NODE", conflicts_with = "remove")]
    add: Option<String>,
    /// Takes a node out that was drained and is stopped.
    #[arg(long, value_name = "NODE")]
    remove: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// `/v1/layout`, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Layout {
    version: u64,
    #[serde(default)]
    partitions: u64,
    hosts: Vec<Host>,
    #[serde(default)]
    without_data: Vec<String>,
    pub(super) change: Option<Change>,
}

/// A node of it.
#[derive(Debug, Deserialize)]
struct Host {
    name: String,
    datacenter: String,
    zone: String,
    holds_data: bool,
    partitions: u64,
    /// When the change in progress has ended.
    partitions_next: Option<u64>,
}

/// A change in progress.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    next_version: u64,
    step: u64,
    steps: u64,
    waiting_for: Vec<String>,
    moves: u64,
    progress_ratio: f64,
}

/// Prints the layout as the node that is asked knows it.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("layout", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let layout = match (&arguments.add, &arguments.remove) {
        (Some(node), _) => change(servers, "add", node).await?,
        (None, Some(node)) => change(servers, "remove", node).await?,
        (None, None) => document(servers, "/v1/layout").await?,
    };
    if arguments.form.json {
        terminal::print_json(&layout)?;
    } else {
        terminal::print(&lines(&layout)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for a change, and returns the layout as it begins.
pub(super) async fn change(servers: &Servers, what: &str, node: &str) -> Result<Value> {
    let call = post("/v1/layout", Some(&json!({ what: node })));
    let answer = servers.admin().document::<Value>(&call).await;
    answer.with_context(|| format!("cannot {what} {}", harmless(node)))
}

/// A layout for people.
pub(super) fn lines(document: &Value) -> Result<Vec<Line>> {
    if document.get("hosts").is_none() {
        return Ok(generic::lines(document));
    }
    let layout = Layout::deserialize(document).context("/v1/layout is not as expected")?;
    Ok(layout.lines())
}

impl Layout {
    /// How many partitions a node holds; `None` if it is not listed.
    pub(super) fn held(&self, node: &str) -> Option<u64> {
        self.hosts.iter().find(|host| host.name == node).map(|host| host.partitions)
    }

    fn lines(&self) -> Vec<Line> {
        let mut table = Table::new([
            Column::Left("name"),
            Column::Left("datacenter"),
            Column::Left("zone"),
            Column::Right("partitions"),
            Column::Right("after the change"),
        ]);
        for host in &self.hosts {
            let next = match (host.partitions_next, host.holds_data || host.partitions > 0) {
                (Some(next), _) => next.to_string(),
                (None, true) => String::new(),
                (None, false) => "drained".to_owned(),
            };
            let (name, partitions) = (host.name.clone(), host.partitions.to_string());
            table.row([name, host.datacenter.clone(), host.zone.clone(), partitions, next], false);
        }
        let mut lines = table.lines();
        lines.push(Line::plain(""));
        let partitions = counted(self.partitions, "partition", "partitions");
        lines.push(Line::plain(format!("layout {}: {partitions}", self.version)));
        if !self.without_data.is_empty() {
            let names: Vec<String> = self.without_data.iter().map(|name| harmless(name)).collect();
            lines.push(Line::plain(format!(
                "joined, without data: {} (settle layout --add NODE)",
                names.join(", ")
            )));
        }
        lines.extend(self.change.as_ref().map(Change::line));
        lines
    }
}

impl Change {
    /// How far it is, in one line.
    pub(super) fn line(&self) -> Line {
        let waiting: Vec<String> = self.waiting_for.iter().map(|name| harmless(name)).collect();
        let waiting = if waiting.is_empty() { "nobody".to_owned() } else { waiting.join(", ") };
        Line::plain(format!(
            "on the way to layout {}: step {} of {} ({:.0} %), {}; waiting for {waiting}",
            self.next_version,
            self.step,
            self.steps,
            self.progress_ratio * 100.0,
            counted(self.moves, "move", "moves"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_who_it_waits_for() {
        let host = |name: &str, partitions, next| {
            json!({"name": name, "datacenter": "d", "zone": "z", "holds_data": true, "partitions": partitions,
                   "partitions_next": next})
        };
        let layout = json!({
            "version": 4, "partitions": 128, "hosts": [host("n1", 128, 96), host("n2", 0, 32)], "without_data": ["n9"],
            "change": {"next_version": 5, "step": 2, "steps": 5, "waiting_for": ["n2"], "moves": 96,
                       "progress_ratio": 0.333},
        });
        let texts: Vec<String> = lines(&layout).unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(
            texts,
            [
                "name   datacenter   zone   partitions   after the change",
                "n1     d            z             128                 96",
                "n2     d            z               0                 32",
                "",
                "layout 4: 128 partitions",
                "joined, without data: n9 (settle layout --add NODE)",
                "on the way to layout 5: step 2 of 5 (33 %), 96 moves; waiting for n2",
            ]
        );
    }
}
