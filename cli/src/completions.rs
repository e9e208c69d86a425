//! `settle completions`: what a shell needs to complete commands and options.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::outcome::failed;
use crate::terminal;

/// For which shell.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The shell that the script is for. For bash, for one:
    /// settle completions bash > ~/.local/share/bash-completion/completions/settle
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script that completes `command`.
#[must_use]
pub fn main(arguments: &Args, mut command: Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    match terminal::put(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("completions", &error),
    }
}
