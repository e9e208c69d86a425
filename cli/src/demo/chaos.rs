//! Carries a schedule out: disturbs one replica at a time and heals it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Node};
use super::schedule::{Action, Schedule, Step};
use crate::readiness::{self, START_DEADLINE};
use crate::settled::name;

/// How long a replica may take to end after SIGTERM.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(15);

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Looks at the clock when told to, and does what is due.
#[derive(Debug)]
pub(super) struct Chaos {
    schedule: Schedule,
    step: Step,
    phase: Phase,
}

/// Where the current step stands.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Quiet { until: Instant },
    Disturbed { since: Instant },
    Recovering { since: Instant },
}

impl Chaos {
    pub(super) fn new(mut schedule: Schedule, now: Instant) -> Option<Self> {
        let step = schedule.next()?;
        Some(Self { schedule, step, phase: Phase::Quiet { until: now + step.quiet } })
    }

    /// Does what is due, at most one thing; says what it did.
    pub(super) async fn tick(&mut self, cluster: &mut Cluster) -> Result<Option<String>> {
        let now = Instant::now();
        match self.phase {
            Phase::Quiet { until } if now >= until => self.disturb(cluster).map(Some),
            Phase::Disturbed { since } if now >= since + self.step.lasts => self.heal(cluster, since),
            Phase::Recovering { since } => self.look(cluster, since).await,
            _ => Ok(None),
        }
    }

    /// Heals what is disturbed now and waits until it serves; says what happened.
    pub(super) async fn finish(&mut self, cluster: &mut Cluster) -> Result<Vec<String>> {
        let mut said = Vec::new();
        while !matches!(self.phase, Phase::Quiet { .. }) {
            let event = match self.phase {
                Phase::Disturbed { since } => self.heal(cluster, since)?,
                _ => self.tick(cluster).await?,
            };
            match event {
                Some(event) => said.push(event),
                None => sleep(POLL_INTERVAL).await,
            }
        }
        Ok(said)
    }

    fn disturb(&mut self, cluster: &mut Cluster) -> Result<String> {
        let Step { node: index, action, lasts, .. } = self.step;
        let node = node(cluster, index)?;
        let (signal, what) = match action {
            Action::Stop => (Signal::STOP, "stopped (SIGSTOP)"),
            Action::Kill => (Signal::KILL, "killed (SIGKILL)"),
            Action::Terminate => (Signal::TERM, "terminated (SIGTERM)"),
        };
        node.server.check_running()?;
        node.disturbed = true;
        node.server.signal(signal)?;
        self.phase = Phase::Disturbed { since: Instant::now() };
        let own = if index == 0 { ", the sidecar's own replica," } else { "" };
        Ok(format!("chaos: {}{own} {what} for {:.1} s", name(index), lasts.as_secs_f64()))
    }

    /// Nothing to say while a terminated replica is still ending.
    fn heal(&mut self, cluster: &mut Cluster, since: Instant) -> Result<Option<String>> {
        let index = self.step.node;
        let what = match self.step.action {
            Action::Stop => {
                node(cluster, index)?.server.signal(Signal::CONT)?;
                "resumed (SIGCONT)"
            }
            Action::Kill => {
                node(cluster, index)?.server.kill();
                cluster.restart(index)?;
                "restarted"
            }
            Action::Terminate => {
                let server = &mut node(cluster, index)?.server;
                if !server.has_ended()? {
                    if since.elapsed() > GOODBYE_DEADLINE {
                        let words = server.last_words();
                        bail!("{} does not end after SIGTERM; its last words:\n{words}", server.name());
                    }
                    return Ok(None);
                }
                cluster.restart(index)?;
                "restarted"
            }
        };
        node(cluster, index)?.disturbed = false;
        self.phase = Phase::Recovering { since: Instant::now() };
        Ok(Some(format!("chaos: {} {what}", name(index))))
    }

    async fn look(&mut self, cluster: &mut Cluster, since: Instant) -> Result<Option<String>> {
        let client = cluster.client.clone();
        let Node { server, ports, .. } = node(cluster, self.step.node)?;
        server.check_running()?;
        match readiness::ask(&client, &readiness::base(ports.admin)?, "/readyz").await {
            Ok(()) => {}
            Err(answer) if since.elapsed() > START_DEADLINE => {
                let (name, words) = (server.name(), server.last_words());
                bail!("{name} is not ready again: {answer}; its last words:\n{words}");
            }
            Err(_) => return Ok(None),
        }
        let text = format!("chaos: {} is ready after {:.1} s", server.name(), since.elapsed().as_secs_f64());
        self.step = self.schedule.next().context("the schedule has ended")?;
        self.phase = Phase::Quiet { until: Instant::now() + self.step.quiet };
        Ok(Some(text))
    }
}

fn node(cluster: &mut Cluster, index: usize) -> Result<&mut Node> {
    cluster.nodes.get_mut(index).context("no such node")
}
