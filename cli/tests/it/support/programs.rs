//! Where the programs lie that the tests start: our own beside the one that cargo built for this test,
//! those of other projects where `scripts/tools.sh` puts them.

use std::path::PathBuf;
use std::time::SystemTime;

use super::files;

/// `settle`, `settled` or `settle-sidecar`, as just built. Panics when it is missing or older than its
/// sources: then the test would judge something else than what lies in the tree.
pub(crate) fn ours(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_settle")).with_file_name(name);
    let advice = "run: cargo build -p settle-daemon -p settle-sidecar -p settle";
    assert!(path.is_file(), "{} is missing; {advice}", path.display());
    if let Some(newer) = newer_source(&path) {
        panic!("{} is older than {newer}; {advice}", path.display());
    }
    path
}

/// A program of another project. Panics, saying how to get it, when it is not here.
pub(crate) fn theirs(name: &str) -> PathBuf {
    let fetched = files::root().join(".tools/bin").join(name);
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|directory| directory.join(name));
    let found = on_path.chain([fetched]).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on this machine; run: scripts/tools.sh prometheus"))
}

/// A source of the program that changed after it was built, by the list that cargo leaves beside it.
fn newer_source(program: &std::path::Path) -> Option<String> {
    let built = modified(program)?;
    let list = std::fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = list.split_once(':')?;
    sources
        .split_whitespace()
        .find(|source| modified(std::path::Path::new(source)).is_none_or(|changed| changed > built))
        .map(str::to_owned)
}

fn modified(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
