//! `settle-sim`: runs seeds, replays one, or shows that planted bugs are found.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use settle_core::plant::{ALL, LAYOUT, Plant};
use settle_sim::campaign::{Failure, run, search};
use settle_sim::shape::Kind;

mod options;

use options::{Command, Options, USAGE};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            say(&format!("{wrong}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let jobs = options.jobs.or_else(|| std::thread::available_parallelism().ok().map(NonZeroUsize::get));
    let passed = match options.command {
        Command::Help => {
            say(USAGE);
            true
        }
        Command::Seeds { first, count } => {
            seeds(options.kind, (first, count), options.plant, jobs.unwrap_or(1))
        }
        Command::Replay { seed } => replay(options.kind, seed, options.plant),
        Command::Plants { count } => plants(count, jobs.unwrap_or(1)),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Standard output; a reader that went away is no failure of the run.
fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn report(kind: Kind, failure: &Failure, bug: Option<Plant>) {
    let kind = if kind == Kind::Layouts { " --layouts" } else { "" };
    let plant = bug.map(|bug| format!("{kind} --plant {bug:?}")).unwrap_or_else(|| kind.to_owned());
    say(&format!("BROKEN  seed {} step {}: {}", failure.seed, failure.step, failure.broken));
    say(&format!("replay: settle-sim --seed {}{plant}", failure.seed));
    say(&format!("    or: cargo run --release -p settle-sim -- --seed {}{plant}", failure.seed));
}

fn seeds(kind: Kind, (first, count): (u64, u64), bug: Option<Plant>, jobs: usize) -> bool {
    let started = Instant::now();
    let failure = search(kind, first, count, bug, jobs);
    if let Some(failure) = &failure {
        report(kind, failure, bug);
        return false;
    }
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("{count} seeds from {first} passed in {seconds:.1} s"));
    true
}

fn replay(kind: Kind, seed: u64, bug: Option<Plant>) -> bool {
    match run(kind, seed, bug, Some(Box::new(io::stdout()))) {
        Ok(hash) => {
            say(&format!("seed {seed} passed, trace {hash:016x}"));
            true
        }
        Err(failure) => {
            report(kind, &failure, bug);
            false
        }
    }
}

fn plants(count: u64, jobs: usize) -> bool {
    let mut all_found = true;
    let steady = ALL.iter().map(|bug| (Kind::Steady, bug));
    for (kind, bug) in steady.chain(LAYOUT.iter().map(|bug| (Kind::Layouts, bug))) {
        match search(kind, 0, count, Some(*bug), jobs) {
            Some(failure) => {
                say(&format!("found   {bug:?}: seed {}, {}", failure.seed, failure.broken));
            }
            None => {
                all_found = false;
                say(&format!("MISSED  {bug:?} in {count} seeds"));
            }
        }
    }
    all_found
}
