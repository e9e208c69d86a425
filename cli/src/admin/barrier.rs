//! `settle barrier`: waits until everything written so far is on every replica.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settle_service::config::parse_duration;
use tokio::time::{Instant, sleep_until};

use super::{DEADLINE, Form, path_of, post};
use crate::client::{Node, Servers};
use crate::columns::{Column, Table};
use crate::outcome::{conclude, say};
use crate::terminal::{self, Line, Progress, harmless};
use crate::units::{count, seconds};

/// The longest that one call waits; a longer wait is several calls.
const CALL_WAIT_MAX: Duration = Duration::from_secs(10);

/// Between two calls, at least: should a node not wait at all.
const CALL_INTERVAL: Duration = Duration::from_millis(100);

/// What to wait for, and how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long to wait; 0s asks and does not wait.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = parse_duration,
        default_value = "10s",
        num_args = 0..=1,
        default_missing_value = "10s"
    )]
    wait: Duration,
    /// Waits for an earlier barrier instead of a new one.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// A barrier as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
struct Barrier {
    done: bool,
    #[serde(default)]
    waiting: Vec<Waiting>,
}

/// A replica that it waits for.
#[derive(Debug, Deserialize, Serialize)]
struct Waiting {
    peer: String,
    /// Nothing when it did not answer.
    writes: Option<u64>,
}

/// The reply to the call that makes a barrier.
#[derive(Debug, Deserialize)]
struct Made {
    barrier: Value,
}

/// Waits, and says by the exit code whether it is so: 0, or 1 when a replica still lacks something.
#[must_use]
pub fn main(arguments: &Args, servers: &Servers) -> ExitCode {
    conclude("barrier", run(arguments, servers))
}

async fn run(arguments: &Args, servers: &Servers) -> Result<ExitCode> {
    let node = servers.admin();
    let begun = Instant::now();
    let id = match &arguments.id {
        Some(id) => Value::from(id.as_str()),
        None => node.document::<Made>(&post("/v1/barrier", None)).await?.barrier,
    };
    let barrier = wait(&node, &id, arguments.wait).await?;
    if arguments.form.json {
        terminal::print_json(&json!({ "barrier": id, "done": barrier.done, "waiting": barrier.waiting }))?;
    } else if barrier.done {
        let took = seconds(Some(begun.elapsed().as_secs_f64()));
        terminal::print(&[Line::plain(format!("every replica has all that was written before ({took})"))])?;
    } else {
        terminal::print(&barrier.lines())?;
    }
    if barrier.done {
        return Ok(ExitCode::SUCCESS);
    }
    say("barrier", &not_done(&id, arguments.wait));
    Ok(ExitCode::FAILURE)
}

/// How it stands, and how to go on.
fn not_done(id: &Value, wait: Duration) -> String {
    let id = id.as_str().map_or_else(|| id.to_string(), harmless);
    let after = match wait {
        Duration::ZERO => "yet".to_owned(),
        wait => format!("after {wait:?}"),
    };
    format!(
        "not done {after}\n  to go on waiting: settle barrier --id {id} --wait 1m; \
         `settle members` shows who is down"
    )
}

/// Asks until it is done or the time is up.
async fn wait(node: &Node, id: &Value, wait: Duration) -> Result<Barrier> {
    let deadline = Instant::now() + wait;
    let mut left = wait;
    let mut progress = Progress::new();
    loop {
        let asked = Instant::now();
        let call_wait = left.min(CALL_WAIT_MAX);
        let path = path_of("/v1/barrier", id, call_wait);
        let barrier: Barrier = node.get(&path, call_wait + DEADLINE).await?;
        if barrier.done || Instant::now() >= deadline {
            return Ok(barrier);
        }
        progress.show(&barrier.summary());
        sleep_until(deadline.min(asked + CALL_INTERVAL)).await;
        left = deadline.saturating_duration_since(Instant::now());
    }
}

impl Barrier {
    fn summary(&self) -> String {
        let waiting: Vec<String> =
            self.waiting.iter().map(|one| format!("{} ({})", one.peer, one.lacks())).collect();
        format!("waiting for {}", waiting.join(", "))
    }

    fn lines(&self) -> Vec<Line> {
        let mut table = Table::new([Column::Left("replica"), Column::Right("writes it lacks")]);
        for waiting in &self.waiting {
            table.row([waiting.peer.clone(), waiting.lacks()], waiting.writes.is_none());
        }
        table.lines()
    }
}

impl Waiting {
    fn lacks(&self) -> String {
        self.writes.map_or("no answer".to_owned(), count)
    }
}
