//! The command line of `settle-sim`.

use settle_core::plant::{ALL, LAYOUT, Plant};
use settle_sim::shape::Kind;

/// What the program can do.
pub(crate) const USAGE: &str = "\
usage: settle-sim [--seeds N] [--first S]   run N seeds (default 1000) from S (default 0)
       settle-sim --seed S                  run one seed and write down everything that happens
       settle-sim --plants [N]              plant each known bug in turn; it must be found within N seeds (2000)
options: --layouts      clusters whose layout changes, instead of those whose layout stays
         --plant NAME   run with this bug planted
         --jobs J       threads (default: all cores)
exit code 1 when a property broke or a planted bug was missed, 2 for a wrong command line";

/// A command line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) kind: Kind,
    pub(crate) plant: Option<Plant>,
    pub(crate) jobs: Option<usize>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Seeds { first: u64, count: u64 },
    Replay { seed: u64 },
    Plants { count: u64 },
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut first, mut count, mut replay, mut plants) = (0, 1000, None, None);
        let mut options = Self { command: Command::Help, kind: Kind::Steady, plant: None, jobs: None };
        let mut arguments = arguments.peekable();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--help" | "-h" => return Ok(options),
                "--seeds" => count = number(&name, arguments.next())?,
                "--first" => first = number(&name, arguments.next())?,
                "--seed" => replay = Some(number(&name, arguments.next())?),
                "--plants" => {
                    let given = arguments.next_if(|next| !next.starts_with("--"));
                    plants = Some(given.map_or(Ok(2000), |given| number(&name, Some(given)))?);
                }
                "--layouts" => options.kind = Kind::Layouts,
                "--plant" => options.plant = Some(plant(&arguments.next().unwrap_or_default())?),
                "--jobs" => options.jobs = usize::try_from(number(&name, arguments.next())?).ok(),
                other => return Err(format!("unknown argument {other}")),
            }
        }
        options.command = match (replay, plants) {
            (Some(seed), _) => Command::Replay { seed },
            (None, Some(count)) => Command::Plants { count },
            (None, None) => Command::Seeds { first, count },
        };
        Ok(options)
    }
}

fn number(name: &str, given: Option<String>) -> Result<u64, String> {
    let given = given.ok_or_else(|| format!("{name} needs a number"))?;
    given.parse().map_err(|_| format!("{name} needs a number, not {given}"))
}

fn plant(name: &str) -> Result<Plant, String> {
    ALL.iter().chain(LAYOUT).copied().find(|bug| format!("{bug:?}") == name).ok_or_else(|| {
        let names: Vec<String> = ALL.iter().chain(LAYOUT).map(|bug| format!("{bug:?}")).collect();
        format!("--plant: no bug is called {name}; known are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_form_is_understood_and_every_mistake_named() {
        let command = |line| parse(line).map(|options| options.command);
        assert_eq!(command(""), Ok(Command::Seeds { first: 0, count: 1000 }));
        assert_eq!(command("--seeds 5 --first 9"), Ok(Command::Seeds { first: 9, count: 5 }));
        assert_eq!(command("--seed 7 --plant EchoTellsOwnDotsOnly"), Ok(Command::Replay { seed: 7 }));
        assert_eq!(parse("--layouts --seed 3").map(|options| options.kind), Ok(Kind::Layouts));
        assert_eq!(command("--plants"), Ok(Command::Plants { count: 2000 }));
        assert_eq!(command("--plants 30 --jobs 1"), Ok(Command::Plants { count: 30 }));
        for wrong in ["--seeds", "--seeds x", "--plant Nonsense", "--sed 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
