//! The repository's own files, as they lie in the work tree.

use std::path::{Path, PathBuf};

/// What builds, tools and the README's example leave behind; nothing of it is committed.
const NOT_OURS: [&str; 5] = ["target", ".git", ".tools", "corpus", "local"];

/// The directory with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file whose name ends so, relative to the root, sorted.
pub(crate) fn ending_with(suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    let root = root();
    let mut found: Vec<PathBuf> = found
        .into_iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no file ends with {suffix:?}: is the repository looked at?");
    found
}

/// The text of a file named relative to the root; `None` when it is not UTF-8.
pub(crate) fn text_if_utf8(path: &Path) -> Option<String> {
    let bytes =
        std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8(bytes).ok()
}

/// The text of a file named relative to the root.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    text_if_utf8(path).unwrap_or_else(|| panic!("{}: not UTF-8", path.display()))
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
    {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let name = entry.file_name();
        if kind.is_dir() && !NOT_OURS.iter().any(|ours| name == *ours) {
            collect(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

/// The text of a file named relative to the root; nothing when there is no such file.
pub(crate) fn text_if_there(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}
