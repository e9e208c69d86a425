//! The reference documents in `docs/` say exactly what the programs say of themselves.
//!
//! `make docs` (that is `SETTLE_WRITE_DOCS=1`) writes them anew instead of comparing.

mod configuration;
mod metrics;

use crate::support::files;

/// Panics when the file does not have this text; or writes it, when asked to.
fn compare(path: &str, wanted: &str) {
    if writing() {
        std::fs::write(files::root().join(path), wanted).unwrap();
        return;
    }
    let found = files::text(path);
    let differing =
        found.lines().zip(wanted.lines()).enumerate().find(|(_, (found, wanted))| found != wanted);
    if let Some((number, (found, wanted))) = differing {
        panic!("{path}:{}: stands\n  {found}\nand should be\n  {wanted}\nrun: make docs", number + 1);
    }
    assert!(found == wanted, "{path} has another length than it should; run: make docs");
}

fn writing() -> bool {
    std::env::var_os("SETTLE_WRITE_DOCS").is_some()
}
