//! A program that ends when the one that started it does, however that ends: after `kill -9` nobody is left to stop
//! it. The kernel takes care of it, if the program asks before it becomes what it is to be; so `settle` starts itself,
//! asks, and then turns into the program.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use crate::outcome::failed;
use crate::processes::beside;

/// The name of the hidden command.
const NAME: &str = "leashed";

/// What to become, and beside whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The process that starts it.
    parent: i32,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the program; returns only when that fails.
#[must_use]
pub fn main(arguments: &Args) -> ExitCode {
    match become_program(arguments) {
        Ok(never) => match never {},
        Err(error) => failed(NAME, &error),
    }
}

fn become_program(arguments: &Args) -> Result<Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("the system takes no wish for the end")?;
    // It may have ended just before.
    if getppid() != Pid::from_raw(arguments.parent) {
        bail!("process {} has ended", arguments.parent);
    }
    let (program, rest) = arguments.command.split_first().context("no program")?;
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

/// The same command on a leash: the process that it starts ends with the calling thread.
pub(crate) fn leashed(command: &Command) -> Result<Command> {
    let mut leashed = Command::new(beside("settle")?);
    leashed.arg(NAME).arg(getpid().as_raw_pid().to_string());
    leashed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(name, value),
            None => leashed.env_remove(name),
        };
    }
    Ok(leashed)
}
