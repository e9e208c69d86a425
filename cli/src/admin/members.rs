//! `settle members`: who belongs to the cluster, and who of them is up.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Form, document};
use crate::client::Servers;
use crate::columns::{Column, Table};
use crate::outcome::conclude;
use crate::terminal::{self, Line, harmless};
use crate::units::counted;

/// What to print.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    form: Form,
}

/// `/v1/members`, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Members {
    cluster: String,
    partitions: u64,
    replicas: u64,
    pub(super) members: Vec<Member>,
}

/// One node.
#[derive(Debug, Deserialize)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) node_id: String,
    /// `self` for the node that was asked.
    pub(super) state: String,
    pub(super) up: bool,
    #[serde(default)]
    pub(super) api: Option<String>,
    #[serde(default)]
    pub(super) peer: Option<String>,
    #[serde(default)]
    pub(super) admin: Option<String>,
}

/// Prints the members as the node that is asked sees them.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("members", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let document = document(servers, "/v1/members").await?;
    if arguments.form.json {
        terminal::print_json(&document)?;
    } else {
        let members = Members::deserialize(document).context("/v1/members is not as expected")?;
        terminal::print(&members.lines())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Members {
    fn lines(&self) -> Vec<Line> {
        let columns = ["name", "state", "api", "peer", "admin", "node id"].map(Column::Left);
        let mut table = Table::new(columns);
        for member in &self.members {
            let [api, peer, admin] = [&member.api, &member.peer, &member.admin]
                .map(|known| known.clone().unwrap_or("-".to_owned()));
            let cells = [member.name.clone(), member.state.clone(), api, peer, admin, member.node_id.clone()];
            table.row(cells, !member.up);
        }
        let mut lines = table.lines();
        let up = self.members.iter().filter(|member| member.up).count();
        lines.push(Line::plain(""));
        lines.push(Line::plain(format!(
            "cluster {:?}: {up} of {} up; {}, each on {}",
            harmless(&self.cluster),
            counted(self.members.len() as u64, "member", "members"),
            counted(self.partitions, "partition", "partitions"),
            counted(self.replicas, "replica", "replicas"),
        )));
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::terminal::Style;

    #[test]
    fn who_is_down_stands_out() {
        let member = |name, state, up, api| {
            json!({"name": name, "node_id": "0a", "state": state, "up": up, "api": api, "admin": "a:2",
                   "peer": "a:1"})
        };
        let document = json!({
            "cluster": "c", "self": "n1", "partitions": 256, "replicas": 3,
            "members": [member("n1", "self", true, json!("a:0")), member("n2", "dead", false, json!(null))],
        });
        let lines = Members::deserialize(document).unwrap().lines();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "name   state   api   peer   admin   node id",
                "n1     self    a:0   a:1    a:2     0a",
                "n2     dead    -     a:1    a:2     0a",
                "",
                "cluster \"c\": 1 of 2 members up; 256 partitions, each on 3 replicas",
            ]
        );
        assert_eq!((lines[1].style, lines[2].style), (Style::Plain, Style::Alarm));
    }
}
