//! What came out: as a table to read, or as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::cluster::{Cluster, NODES};
use super::stats::Spread;
use super::{Args, Operation, System};

/// Share of its threads' time above which the load generator may be what limits a system.
const BUSY_GENERATOR: f64 = 0.85;

/// Everything, as printed with `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    settings: Settings,
    programs: Vec<Program>,
    results: Vec<Comparison>,
}

/// The machine and the load.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    cores: usize,
    directory: String,
    file_system: String,
    /// Median to append 4 KiB and sync, before the load.
    disk_sync_us: u32,
    nodes: usize,
    connections: u32,
    generator_threads: u32,
    rounds: u32,
    seconds: f64,
    warm_up_seconds: f64,
    keys: u32,
    value_bytes: u32,
    write_level: String,
}

#[derive(Debug, Serialize)]
struct Program {
    system: System,
    version: String,
}

/// One operation, on every system measured.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) operation: Operation,
    pub(super) measured: Vec<Measured>,
    /// Settle's to etcd's, when both were measured.
    ratio: Option<Ratio>,
}

/// One operation on one system.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) system: System,
    pub(super) rounds: Vec<Round>,
}

/// One operation on one system in one round.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    pub(super) operations_per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Per operation, summed over the system's processes.
    pub(super) server_cpu_us: f64,
    /// Per operation, of the load generator.
    pub(super) generator_cpu_us: f64,
    pub(super) generator_cores: f64,
    /// What the other system used meanwhile.
    pub(super) idle_system_cores: f64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
}

/// Each round's quotient of Settle's value and etcd's; their spread over the rounds.
#[derive(Debug, Serialize)]
struct Ratio {
    operations_per_second: Spread,
    p50: Spread,
    p99: Spread,
    server_cpu: Spread,
}

impl Settings {
    pub(super) fn new(arguments: &Args, directory: &Path, file_system: String, disk_sync_us: u32) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            directory: directory.display().to_string(),
            file_system,
            disk_sync_us,
            nodes: NODES,
            connections: arguments.connections,
            generator_threads: arguments.threads,
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            warm_up_seconds: arguments.warm_up,
            keys: arguments.keys,
            value_bytes: arguments.value_bytes,
            write_level: arguments.level.clone(),
        }
    }
}

impl Comparison {
    pub(super) fn new(operation: Operation, measured: impl Iterator<Item = Measured>) -> Self {
        Self { operation, measured: measured.collect(), ratio: None }
    }

    fn rounds_of(&self, system: System) -> Option<&[Round]> {
        self.measured.iter().find(|measured| measured.system == system).map(|measured| &*measured.rounds)
    }

    fn ratio(&self) -> Option<Ratio> {
        let (settle, etcd) = (self.rounds_of(System::Settle)?, self.rounds_of(System::Etcd)?);
        let paired = |value: fn(&Round) -> f64| {
            Spread::of(settle.iter().zip(etcd).map(|(settle, etcd)| value(settle) / value(etcd)))
        };
        Some(Ratio {
            operations_per_second: paired(|round| round.operations_per_second),
            p50: paired(|round| round.p50_ms),
            p99: paired(|round| round.p99_ms),
            server_cpu: paired(|round| round.server_cpu_us),
        })
    }
}

impl Measured {
    pub(super) fn new(system: System) -> Self {
        Self { system, rounds: Vec::new() }
    }

    fn spread(&self, value: fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value))
    }

    fn failed(&self) -> u64 {
        self.rounds.iter().map(|round| round.failed).sum()
    }
}

impl Round {
    /// For whoever watches.
    pub(super) fn line(&self, operation: Operation, system: System) -> String {
        format!(
            "{:<11} {:<6} {:>7.0} /s, p50 {:.2} ms, p99 {:.2} ms, server CPU {:.1} us",
            name(operation),
            system.name(),
            self.operations_per_second,
            self.p50_ms,
            self.p99_ms,
            self.server_cpu_us,
        )
    }
}

impl Report {
    pub(super) fn new(settings: Settings, clusters: &[Cluster], mut results: Vec<Comparison>) -> Self {
        for comparison in &mut results {
            comparison.ratio = comparison.ratio();
        }
        let programs = clusters
            .iter()
            .map(|cluster| Program { system: cluster.system, version: cluster.version.clone() })
            .collect();
        Self { settings, programs, results }
    }

    /// To standard output.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        let text = if json { serde_json::to_string_pretty(self)? + "\n" } else { self.table()? };
        std::io::stdout().write_all(text.as_bytes()).context("cannot print the report")
    }

    fn table(&self) -> Result<String> {
        let mut text = String::new();
        let settings = &self.settings;
        writeln!(
            text,
            "\n{} nodes each on {} cores, data on {} (sync of 4 KiB: {} us); {} connections, {} keys, values of {} bytes",
            settings.nodes,
            settings.cores,
            settings.file_system,
            settings.disk_sync_us,
            settings.connections,
            settings.keys,
            settings.value_bytes,
        )?;
        writeln!(
            text,
            "median (lowest to highest) of {} rounds of {} s after {} s of warm-up; the system not loaded idles",
            settings.rounds, settings.seconds, settings.warm_up_seconds
        )?;
        for program in &self.programs {
            writeln!(text, "{}: {}", program.system.name(), program.version)?;
        }
        for comparison in &self.results {
            writeln!(text, "\n{}", self.title(comparison.operation))?;
            comparison.write_rows(&mut text)?;
            comparison.write_remarks(&mut text, settings.generator_threads)?;
        }
        writeln!(
            text,
            "\nserver CPU: user and system time of the three processes; client: of the load generator; \
             * share of one core that the other system used, idle"
        )?;
        Ok(text)
    }

    fn title(&self, operation: Operation) -> String {
        match operation {
            Operation::Write => {
                format!("durable writes: settle PUT at level {}, etcd Put", self.settings.write_level)
            }
            Operation::Read => {
                "reads of one node: settle GET at level one, etcd Range, serializable (not linearizable)"
                    .to_owned()
            }
            Operation::StrongRead => {
                "reads by a majority: settle GET at level quorum, etcd Range, linearizable".to_owned()
            }
        }
    }
}

impl Comparison {
    fn write_rows(&self, text: &mut String) -> Result<()> {
        writeln!(
            text,
            "  {:<12} {:>24} {:>22} {:>22} {:>22} {:>9} {:>6} {:>6}",
            "", "operations/s", "p50 ms", "p99 ms", "server CPU us/op", "client us", "idle %*", "failed"
        )?;
        for measured in &self.measured {
            writeln!(
                text,
                "  {:<12} {:>24} {:>22} {:>22} {:>22} {:>9.1} {:>6.1} {:>6}",
                measured.system.name(),
                cell(measured.spread(|round| round.operations_per_second), 0),
                cell(measured.spread(|round| round.p50_ms), 2),
                cell(measured.spread(|round| round.p99_ms), 2),
                cell(measured.spread(|round| round.server_cpu_us), 1),
                measured.spread(|round| round.generator_cpu_us).median,
                measured.spread(|round| round.idle_system_cores).median * 100.0,
                measured.failed(),
            )?;
        }
        if let Some(ratio) = &self.ratio {
            writeln!(
                text,
                "  {:<12} {:>24} {:>22} {:>22} {:>22}",
                "settle/etcd",
                cell(ratio.operations_per_second, 2),
                cell(ratio.p50, 2),
                cell(ratio.p99, 2),
                cell(ratio.server_cpu, 2),
            )?;
        }
        Ok(())
    }

    /// What makes a reader doubt the numbers above.
    fn write_remarks(&self, text: &mut String, threads: u32) -> Result<()> {
        for measured in &self.measured {
            let name = measured.system.name();
            let busy = measured.spread(|round| round.generator_cores).median / f64::from(threads);
            if busy > BUSY_GENERATOR {
                writeln!(
                    text,
                    "  {name}: the load generator used {:.0} % of its threads and may be the limit (--threads)",
                    busy * 100.0
                )?;
            }
            if let Some(failure) = measured.rounds.iter().find_map(|round| round.first_failure.as_ref()) {
                writeln!(text, "  {name}: first failure: {failure}")?;
            }
        }
        Ok(())
    }
}

fn cell(spread: Spread, decimals: usize) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.decimals$} ({min:.decimals$}-{max:.decimals$})")
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Write => "write",
        Operation::Read => "read",
        Operation::StrongRead => "strong-read",
    }
}

#[cfg(test)]
mod tests;
