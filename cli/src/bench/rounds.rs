//! The course of a benchmark: start, fill, then round after round every operation on every system.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::cluster::Cluster;
use super::load::{Load, Tally, Window};
use super::progress::say;
use super::report::{Comparison, Measured, Report, Round, Settings};
use super::stats::percentile;
use super::{Args, Operation, System, disk, etcd, settle, usage};

/// Share of operations that may fail before the result says nothing.
const TOLERATED_FAILURES: f64 = 0.001;

/// Runs the whole benchmark and prints the report.
pub(super) async fn run(arguments: &Args) -> Result<()> {
    let base = disk::base(arguments.dir.as_deref())?;
    let file_system = disk::durable_file_system(&base)?;
    if cfg!(debug_assertions) {
        say("warning: not an optimised build; build with --release for numbers that mean something");
    }
    let mut clusters = start(arguments, &base)?;
    // Only now: the probe leaves nothing behind, but a failed start should not wait for it.
    let sync_microseconds = disk::sync_microseconds(&base)?;
    for cluster in &mut clusters {
        cluster.wait_until_ready().await?;
    }
    for cluster in &clusters {
        fill(cluster, arguments).await?;
    }
    let settings = Settings::new(arguments, &base, file_system, sync_microseconds);
    let results = measure_all(&mut clusters, arguments).await?;
    let report = Report::new(settings, &clusters, results);
    drop(clusters);
    report.print(arguments.json)
}

fn start(arguments: &Args, base: &std::path::Path) -> Result<Vec<Cluster>> {
    let mut clusters = Vec::new();
    if arguments.only != Some(System::Etcd) {
        clusters.push(settle::start(arguments.settled.as_deref(), base)?);
    }
    if arguments.only != Some(System::Settle) {
        clusters.push(etcd::start(arguments.etcd.as_deref(), base)?);
    }
    Ok(clusters)
}

async fn fill(cluster: &Cluster, arguments: &Args) -> Result<()> {
    let begun = Instant::now();
    load(cluster, arguments).fill().await.context("cannot fill in the keys")?;
    let name = cluster.system.name();
    say(&format!("{name}: ready, {} keys written in {:.1} s", arguments.keys, begun.elapsed().as_secs_f64()));
    Ok(())
}

fn load(cluster: &Cluster, arguments: &Args) -> Load {
    Load {
        system: cluster.system,
        nodes: cluster.clients(),
        connections: arguments.connections,
        level: Arc::from(arguments.level.as_str()),
        keys: arguments.keys,
        value: Bytes::from(vec![b'v'; arguments.value_bytes as usize]),
    }
}

async fn measure_all(clusters: &mut [Cluster], arguments: &Args) -> Result<Vec<Comparison>> {
    let mut results: Vec<Comparison> = arguments
        .operations
        .iter()
        .map(|&operation| {
            Comparison::new(operation, clusters.iter().map(|cluster| Measured::new(cluster.system)))
        })
        .collect();
    for round in 1..=arguments.rounds {
        for comparison in &mut results {
            for (loaded, measured) in comparison.measured.iter_mut().enumerate() {
                let outcome = measure(clusters, loaded, comparison.operation, round, arguments).await?;
                say(&format!(
                    "round {round}/{}: {}",
                    arguments.rounds,
                    outcome.line(comparison.operation, measured.system)
                ));
                measured.rounds.push(outcome);
            }
        }
    }
    Ok(results)
}

/// One operation on one of the systems; the others idle.
async fn measure(
    clusters: &mut [Cluster],
    loaded: usize,
    operation: Operation,
    round: u32,
    arguments: &Args,
) -> Result<Round> {
    let cluster = clusters.get(loaded).context("no such system")?;
    let start = Instant::now() + Duration::from_secs_f64(arguments.warm_up);
    let window = Window { start, end: start + Duration::from_secs_f64(arguments.seconds), seed: round };
    let load = load(cluster, arguments);
    let (tally, used) = tokio::join!(Box::pin(load.run(operation, window)), used_within(clusters, window));
    let (tally, used) = (tally?, used?);
    let name = cluster.system.name();
    clusters.iter_mut().try_for_each(Cluster::check_running)?;
    check_failures(&tally).with_context(|| format!("{operation:?} on {name} in round {round}"))?;
    Ok(summarise(tally, &used, loaded, arguments.seconds))
}

/// CPU time used within the window by each system and by this program.
#[derive(Debug)]
struct Used {
    systems: Vec<Duration>,
    generator: Duration,
}

async fn used_within(clusters: &[Cluster], window: Window) -> Result<Used> {
    sleep_until(window.start).await;
    let before = used_so_far(clusters)?;
    sleep_until(window.end).await;
    let after = used_so_far(clusters)?;
    let systems = after.systems.iter().zip(&before.systems);
    Ok(Used {
        systems: systems.map(|(after, before)| after.saturating_sub(*before)).collect(),
        generator: after.generator.saturating_sub(before.generator),
    })
}

fn used_so_far(clusters: &[Cluster]) -> Result<Used> {
    Ok(Used {
        systems: clusters.iter().map(Cluster::cpu).collect::<Result<_>>()?,
        generator: usage::of_self()?,
    })
}

fn check_failures(tally: &Tally) -> Result<()> {
    let succeeded = tally.latencies.len();
    let first = tally.first_failure.as_deref().unwrap_or("none");
    if succeeded == 0 {
        bail!("not one operation succeeded; first failure: {first}");
    }
    if tally.failed as f64 > succeeded as f64 * TOLERATED_FAILURES {
        bail!("{} operations failed and {succeeded} succeeded; first failure: {first}", tally.failed);
    }
    Ok(())
}

fn summarise(mut tally: Tally, used: &Used, loaded: usize, seconds: f64) -> Round {
    tally.latencies.sort_unstable();
    let operations = tally.latencies.len() as f64;
    let milliseconds = |share| percentile(&tally.latencies, share).map_or(f64::NAN, f64::from) / 1000.0;
    let microseconds_each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / operations;
    let (own, idle): (Vec<_>, Vec<_>) =
        used.systems.iter().enumerate().partition(|(index, _)| *index == loaded);
    let sum = |systems: Vec<(usize, &Duration)>| systems.into_iter().map(|(_, cpu)| *cpu).sum::<Duration>();
    Round {
        operations_per_second: operations / seconds,
        p50_ms: milliseconds(0.5),
        p99_ms: milliseconds(0.99),
        server_cpu_us: microseconds_each(sum(own)),
        generator_cpu_us: microseconds_each(used.generator),
        generator_cores: used.generator.as_secs_f64() / seconds,
        idle_system_cores: sum(idle).as_secs_f64() / seconds,
        failed: tally.failed,
        first_failure: tally.first_failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(succeeded: usize, failed: u64) -> Tally {
        let latencies = (1..).take(succeeded).map(|millisecond: u32| millisecond * 1000).collect();
        Tally { latencies, failed, first_failure: Some("refused".to_owned()) }
    }

    #[test]
    fn a_trace_of_failures_is_tolerated_and_more_is_not() {
        check_failures(&tally(5000, 5)).unwrap();
        let error = check_failures(&tally(5000, 6)).unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
        assert!(check_failures(&tally(0, 0)).is_err());
    }

    #[test]
    fn cpu_is_charged_to_the_loaded_system_and_divided_by_its_operations() {
        let used = Used {
            systems: vec![Duration::from_millis(30), Duration::from_millis(200)],
            generator: Duration::from_millis(10),
        };
        let round = summarise(tally(1000, 0), &used, 1, 2.0);
        assert!((round.operations_per_second - 500.0).abs() < 1e-9);
        assert!((round.server_cpu_us - 200.0).abs() < 1e-9);
        assert!((round.generator_cpu_us - 10.0).abs() < 1e-9);
        assert!((round.idle_system_cores - 0.015).abs() < 1e-9);
        assert!((round.p50_ms - 500.0).abs() < 1e-9 && (round.p99_ms - 990.0).abs() < 1e-9);
    }
}
