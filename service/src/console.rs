//! What a program says on its terminal rather than in its log: what was asked for, and why it ends.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Prints what was asked for on standard output.
pub fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads it went away.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says on standard error why `program` ends; logging may not be set up yet.
pub fn fail(program: &str, error: &dyn Display) -> ExitCode {
    // Without standard error there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{program}: {error}"));
    ExitCode::FAILURE
}
