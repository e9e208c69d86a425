//! Lines for whoever watches: on standard error, so that standard output carries the report alone.

use std::io::Write as _;

/// Prints one line; a closed terminal is no reason to fail.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
