//! `settle status`: one node at a glance, worst news first.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::lag::Lags;
use super::members::Members;
use super::{Form, document};
use crate::client::Servers;
use crate::outcome::conclude;
use crate::terminal::{self, Line, harmless};
use crate::units::{age, bytes, count, counted, seconds};

/// What to print.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    form: Form,
}

/// `/v1/status`, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Status {
    name: String,
    cluster: String,
    version: String,
    uptime_seconds: f64,
    ready: bool,
    not_ready: Vec<Reason>,
    partitions: u64,
    partitions_syncing: u64,
    /// Nothing until they were counted.
    keys: Option<i64>,
    log_records: u64,
    storage_bytes: u64,
    #[serde(default)]
    bucket_mismatches: Vec<BucketMismatch>,
}

/// A bucket that the node and one of its peers do not declare alike.
#[derive(Debug, Deserialize)]
struct BucketMismatch {
    peer: String,
    bucket: String,
    here: Option<Rules>,
    there: Option<Rules>,
}

/// What nodes must agree on.
#[derive(Debug, Deserialize)]
struct Rules {
    #[serde(rename = "type")]
    kind: String,
    resolver: String,
}

/// Why a part of the node is not ready.
#[derive(Debug, Deserialize)]
struct Reason {
    part: String,
    reason: String,
}

/// Everything shown.
#[derive(Debug)]
struct Overview {
    status: Status,
    members: Members,
    lags: Lags,
}

/// Prints how the node is. The exit code says whether it answered, not whether it is well.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("status", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let status = document(servers, "/v1/status").await?;
    let members = document(servers, "/v1/members").await?;
    let lag = document(servers, "/v1/lag").await?;
    if arguments.form.json {
        terminal::print_json(&joined(status, members, lag))?;
    } else {
        let overview = Overview {
            status: Status::deserialize(status).context("/v1/status is not as expected")?,
            members: Members::deserialize(members).context("/v1/members is not as expected")?,
            lags: Lags::deserialize(lag).context("/v1/lag is not as expected")?,
        };
        terminal::print(&overview.lines())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The node's status, with its members and its lag as further members of the document.
fn joined(mut status: Value, mut members: Value, mut lag: Value) -> Value {
    if let Value::Object(all) = &mut status {
        let mut part = |name: &str, found: Option<&mut Value>| {
            all.insert(name.to_owned(), found.map(Value::take).unwrap_or_default());
        };
        part("members", members.get_mut("members"));
        part("lag", lag.get_mut("peers"));
    }
    status
}

impl Overview {
    fn lines(&self) -> Vec<Line> {
        let status = &self.status;
        let mut lines = self.verdict();
        lines.push(Line::plain(""));
        let cluster = format!(
            "{:?}, {}",
            harmless(&status.cluster),
            counted(self.members.members.len() as u64, "member", "members")
        );
        lines.push(row("cluster", cluster));
        // Nobody's uptime is negative or beyond 2^64 seconds; a cast saturates.
        let uptime = age(status.uptime_seconds as u64);
        lines.push(row("version", format!("{}, up for {uptime}", harmless(&status.version))));
        let syncing = match status.partitions_syncing {
            0 => String::new(),
            syncing => format!(", {} of them being filled from other replicas", count(syncing)),
        };
        lines.push(row("partitions", format!("{}{syncing}", count(status.partitions))));
        lines.push(row("keys", status.keys.map_or("not counted yet".to_owned(), count)));
        let records = counted(status.log_records, "log record", "log records");
        lines.push(row("storage", format!("{}, {records}", bytes(status.storage_bytes))));
        lines.push(self.peers());
        lines.push(self.lag());
        lines.push(self.to_send());
        lines.extend(self.diverged());
        lines.extend(self.buckets());
        lines
    }

    fn verdict(&self) -> Vec<Line> {
        let name = harmless(&self.status.name);
        if self.status.ready {
            return vec![Line::heading(format!("{name} is ready"))];
        }
        let mut lines = vec![Line::alarm(format!("{name} is NOT READY"))];
        let reasons = self.status.not_ready.iter();
        lines.extend(
            reasons.map(|why| Line::alarm(format!("  {}: {}", harmless(&why.part), harmless(&why.reason)))),
        );
        lines
    }

    fn peers(&self) -> Line {
        let peers: Vec<_> = self.members.members.iter().filter(|member| member.state != "self").collect();
        if peers.is_empty() {
            return row("peers", "none known");
        }
        let down: Vec<String> = peers
            .iter()
            .filter(|peer| !peer.up)
            .map(|peer| format!("{} is {}", harmless(&peer.name), harmless(&peer.state)))
            .collect();
        let up = format!("{} of {} up", peers.len() - down.len(), peers.len());
        match down.is_empty() {
            true => row("peers", up),
            false => alarm("peers", format!("{up}: {}", down.join(", "))),
        }
    }

    fn lag(&self) -> Line {
        let lags = &self.lags.peers;
        if lags.is_empty() {
            return row("lag", "none: no peers are known");
        }
        let proven = lags.iter().filter_map(|(name, lag)| Some((lag.proven_seconds?, name)));
        let worst = proven.max_by(|one, other| one.0.total_cmp(&other.0));
        let unproven: Vec<String> = lags
            .iter()
            .filter(|(_, lag)| lag.proven_seconds.is_none())
            .map(|(name, _)| harmless(name))
            .collect();
        let missing: u64 = lags.values().filter_map(|lag| lag.missing_writes).sum();
        let mut parts = Vec::new();
        if let Some((lag, name)) = worst {
            parts.push(format!("at most {} behind ({})", seconds(Some(lag)), harmless(name)));
        }
        if !unproven.is_empty() {
            parts.push(format!("NOT PROVEN against {}", unproven.join(", ")));
        }
        parts.push(format!("{} known to be missing", counted(missing, "write", "writes")));
        let text = parts.join("; ");
        if unproven.is_empty() { row("lag", text) } else { alarm("lag", text) }
    }

    /// What the node keeps for peers that may lack it.
    fn to_send(&self) -> Line {
        let waiting = self.lags.peers.iter().filter(|(_, lag)| lag.hints_pending > 0);
        let waiting: Vec<String> = waiting
            .map(|(name, lag)| {
                format!("{} may lack {}", harmless(name), counted(lag.hints_pending, "write", "writes"))
            })
            .collect();
        match waiting.is_empty() {
            true => row("to send", "nothing: no peer is known to lack a write"),
            false => row("to send", waiting.join(", ")),
        }
    }

    /// Buckets that not all nodes declare alike.
    fn buckets(&self) -> Vec<Line> {
        let rules = |rules: &Option<Rules>| match rules {
            Some(rules) => format!("{} {}", harmless(&rules.kind), harmless(&rules.resolver)),
            None => "not declared".to_owned(),
        };
        let differ = |found: &BucketMismatch| {
            let (here, there) = (rules(&found.here), rules(&found.there));
            format!("{} is {here} here and {there} at {}", harmless(&found.bucket), harmless(&found.peer))
        };
        self.status.bucket_mismatches.iter().map(|found| alarm("buckets", differ(found))).collect()
    }

    fn diverged(&self) -> Option<Line> {
        let diverged = self.lags.peers.iter().filter(|(_, lag)| lag.diverged_partitions > 0);
        let diverged: Vec<String> = diverged
            .map(|(name, lag)| format!("{} with {}", count(lag.diverged_partitions), harmless(name)))
            .collect();
        let text = format!("partitions that await a full exchange: {}", diverged.join(", "));
        (!diverged.is_empty()).then(|| alarm("diverged", text))
    }
}

fn row(title: &str, text: impl AsRef<str>) -> Line {
    Line::plain(format!("{title:<12}{}", text.as_ref()))
}

fn alarm(title: &str, text: impl AsRef<str>) -> Line {
    Line::alarm(format!("{title:<12}{}", text.as_ref()))
}

#[cfg(test)]
mod tests;
