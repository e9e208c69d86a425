//! How a command ends: 0 done, 1 failed or not found, 2 asked for wrongly, and on standard error why.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Error, Result};

/// As of every command line that clap refuses.
const EXIT_USAGE: u8 = 2;

/// What was asked for makes no sense, whatever a node would say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Runs a command to its end.
pub(crate) fn conclude(command: &str, work: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the asynchronous runtime");
    match runtime.and_then(|runtime| runtime.block_on(work)) {
        Ok(code) => code,
        Err(error) => failed(command, &error),
    }
}

/// Says why a command failed; its exit code.
pub(crate) fn failed(command: &str, error: &Error) -> ExitCode {
    if is_broken_pipe(error) {
        // Whoever reads the output has seen enough, and says so himself if he has not.
        return ExitCode::FAILURE;
    }
    say(command, &format!("{error:#}"));
    if error.is::<Usage>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// Tells the user something that is not the command's output.
pub(crate) fn say(command: &str, text: &str) {
    // With standard error closed there is nobody left to tell.
    drop(writeln!(io::stderr(), "settle {command}: {text}"));
}

fn is_broken_pipe(error: &Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure_to_speak_of() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&Error::from(io::Error::from(io::ErrorKind::StorageFull))));
    }
}
