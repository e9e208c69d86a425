//! The course of a demo: start, show, come to rest, judge.

use std::io::Stdout;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::chaos::Chaos;
use super::cluster::{CANARY_DEADLINE, Cluster};
use super::schedule::Schedule;
use super::screen::Screen;
use super::signals::{Signals, Stop};
use super::state::State;
use super::table::{Clients, View};
use super::traffic::{Totals, Traffic};
use super::verdict;
use super::{Args, agreement};
use crate::random::Random;

/// Between two looks at processes and schedule.
const TICK: Duration = Duration::from_millis(250);
/// Ticks from one table to the next: on a terminal, and elsewhere from one line to the next.
const TICKS_PER_TABLE: u32 = 4;
const TICKS_PER_LINE: u32 = 20;
/// Looks within which the sidecar must answer once.
const SILENT_TABLES_MAX: u32 = 10;

/// After a disturbance everything must converge again within this; a healthy run needs no longer than
/// it takes to give up the last canary.
const HEAL_DEADLINE: Duration = Duration::from_secs(30);
const REST_DEADLINE: Duration = CANARY_DEADLINE.saturating_add(Duration::from_secs(5));
const REST_POLL: Duration = Duration::from_millis(100);
/// Outcomes are booked a moment after they are seen.
const BOOKED_AFTER: Duration = Duration::from_secs(1);

/// How the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Measured, and converged.
    Well,
    /// Something is wrong; it has been said.
    Badly,
    /// Before there was a verdict.
    By(Stop),
}

/// A demo under way.
#[derive(Debug)]
struct Course {
    cluster: Cluster,
    screen: Screen<Stdout>,
    traffic: Traffic,
    chaos: Option<Chaos>,
    begun: Instant,
    duration: Option<Duration>,
    rate: u32,
    /// The last that the sidecar said.
    state: State,
    /// Totals at the last table, for the rate since.
    before: (Instant, Totals),
    /// Tables in a row without an answer of the sidecar.
    silent: u32,
}

/// Runs the demo. Dropping it at any point stops all processes and removes all files.
pub(super) async fn run(arguments: &Args) -> Result<Ended> {
    let mut signals = Signals::listen()?;
    let mut screen = Screen::standard();
    screen.say(&format!("settle demo: starting {} replicas and a sidecar ...", arguments.nodes))?;
    let mut course = tokio::select! {
        course = Box::pin(Course::begin(arguments, screen)) => course?,
        stop = signals.next() => return Ok(Ended::By(stop)),
    };
    let shown = tokio::select! {
        shown = Box::pin(course.show()) => shown.map(|()| Stop::Interrupt),
        stop = signals.next() => Ok(stop),
    };
    match shown? {
        Stop::Interrupt => {}
        stop => return Ok(Ended::By(stop)),
    }
    tokio::select! {
        ended = Box::pin(course.end()) => ended,
        stop = signals.next() => Ok(Ended::By(stop)),
    }
}

impl Course {
    async fn begin(arguments: &Args, mut screen: Screen<Stdout>) -> Result<Self> {
        let cluster = Cluster::start(usize::from(arguments.nodes)).await?;
        screen.say(&format!("\n{}\n", cluster.urls()))?;
        let now = Instant::now();
        let mut chaos = None;
        if arguments.chaos {
            let seed = arguments.seed.unwrap_or_else(|| Random::from_entropy().next() >> 32);
            screen.say(&format!("chaos with --seed {seed}"))?;
            chaos = Chaos::new(Schedule::new(seed, arguments.nodes), now);
        }
        let state = cluster.state().await.context("the sidecar fell silent")?;
        let traffic = Traffic::start(cluster.bases()?, arguments.rate);
        let before = (now, Totals::default());
        let Args { duration, rate, .. } = *arguments;
        Ok(Self { cluster, screen, traffic, chaos, begun: now, duration, rate, state, before, silent: 0 })
    }

    /// Shows the table until the time is over.
    async fn show(&mut self) -> Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let every = if self.screen.is_live() { TICKS_PER_TABLE } else { TICKS_PER_LINE };
        for number in (1..=every).cycle() {
            tick.tick().await;
            if self.duration.is_some_and(|duration| self.begun.elapsed() >= duration) {
                break;
            }
            self.cluster.check_running()?;
            if let Some(chaos) = &mut self.chaos
                && let Some(event) = chaos.tick(&mut self.cluster).await?
            {
                let elapsed = self.begun.elapsed().as_secs();
                self.screen.say(&format!("{elapsed:>4}s | {event}"))?;
            }
            if number == every {
                self.look().await?;
            }
        }
        Ok(())
    }

    /// Asks the sidecar and shows what it says.
    async fn look(&mut self) -> Result<()> {
        match self.cluster.state().await {
            Ok(state) => (self.state, self.silent) = (state, 0),
            // It may be short of processor time; for how long is bounded.
            Err(_) if self.silent < SILENT_TABLES_MAX => self.silent += 1,
            Err(error) => return Err(error.context("the sidecar fell silent")),
        }
        let clients = self.clients();
        let view = self.view(clients);
        if self.screen.is_live() {
            let table = view.table();
            self.screen.draw(table)
        } else {
            let line = view.line();
            self.screen.say(&line)
        }
    }

    fn clients(&mut self) -> Clients {
        let (now, totals) = (Instant::now(), self.traffic.totals());
        let (at, before) = std::mem::replace(&mut self.before, (now, totals));
        let seconds = now.saturating_duration_since(at).as_secs_f64().max(0.001);
        let answered = totals.answered.saturating_sub(before.answered);
        // A count below 2^53 is exact.
        Clients { rate: answered as f64 / seconds, errors: totals.failed }
    }

    fn view(&self, clients: Clients) -> View<'_> {
        View { elapsed: self.begun.elapsed(), duration: self.duration, state: &self.state, clients }
    }

    /// Heals what is disturbed, stops the traffic, waits until all has converged and judges.
    async fn end(&mut self) -> Result<Ended> {
        let elapsed = self.begun.elapsed();
        let mut healed = None;
        if let Some(chaos) = &mut self.chaos {
            for event in chaos.finish(&mut self.cluster).await? {
                self.screen.say(&event)?;
            }
            healed = Some(self.cluster.state().await.context("the sidecar fell silent")?);
        }
        let totals = self.traffic.totals();
        self.traffic.stop();
        self.screen.say("traffic stopped, waiting for what is under way ...")?;
        let settled = self.rest(if healed.is_some() { HEAL_DEADLINE } else { REST_DEADLINE }).await?;
        let mut problems = verdict::problems(&self.state, settled, healed.as_ref(), totals);
        let keys = agreement::keys(self.rate);
        let compared = keys.len();
        problems.extend(self.disagreement(keys).await?);
        self.show_all(elapsed, totals)?;
        let text = verdict::conclusion(&self.state, healed.is_some(), compared, &problems);
        self.screen.say(&format!("\n{text}"))?;
        Ok(if problems.is_empty() { Ended::Well } else { Ended::Badly })
    }

    /// Waits until nothing is owed any more; false when that takes too long.
    async fn rest(&mut self, deadline: Duration) -> Result<bool> {
        let since = Instant::now();
        loop {
            self.cluster.check_running()?;
            let asked = since.elapsed();
            if let Ok(state) = self.cluster.state().await {
                self.state = state;
                if verdict::is_settled(&self.state, asked) {
                    break;
                }
            }
            if asked > deadline {
                return Ok(false);
            }
            sleep(REST_POLL).await;
        }
        sleep(BOOKED_AFTER).await;
        self.state = self.cluster.state().await.context("the sidecar fell silent")?;
        Ok(true)
    }

    /// What is wrong with the replicas' data, if anything.
    async fn disagreement(&self, keys: Vec<agreement::Key>) -> Result<Option<String>> {
        let (client, nodes, compared) = (&self.cluster.client, self.cluster.bases()?, keys.len());
        let problem = match agreement::differing(client, &nodes, keys).await {
            Err(error) => Some(format!("{error:#}")),
            Ok(differing) => differing.first().map(|(bucket, key)| {
                let count = differing.len();
                format!("the replicas differ in {count} of {compared} keys, such as {bucket}/{key}")
            }),
        };
        Ok(problem)
    }

    /// The table of the whole run, and what the clients ran into.
    fn show_all(&mut self, elapsed: Duration, totals: Totals) -> Result<()> {
        let rate = totals.answered as f64 / elapsed.as_secs_f64().max(0.001);
        let clients = Clients { rate, errors: totals.failed };
        let view = View { elapsed, duration: Some(elapsed), state: &self.state, clients };
        let table = view.table();
        self.screen.draw(table)?;
        self.screen.keep_table();
        match self.traffic.last_failure() {
            Some(failure) => self.screen.say(&format!("last client error: {failure}")),
            None => Ok(()),
        }
    }
}
