//! What `make` does to the programs, and what following the README leaves in the tree.

use std::process::Command;

use crate::support::files;

/// What a command says on standard output, if it can be run and succeeds.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(files::root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn shipped_programs_know_their_revision() {
    let recipe = said("make", &["-n", "release"]).unwrap();
    let revision = recipe.split_once("SETTLE_REVISION=").unwrap().1.split(' ').next().unwrap();
    match said("git", &["rev-parse", "HEAD"]) {
        // Without a repository, as in an archive of the sources, it is not known.
        None => assert_eq!(revision, "unknown"),
        Some(commit) => {
            assert!(
                commit.starts_with(revision.trim_end_matches("-dirty")) && revision.len() >= 12,
                "{revision}"
            );
        }
    }
}

#[test]
fn what_the_readme_has_made_is_not_committed() {
    let readme = files::text("README.md");
    for made in ["local/settle.toml", "local/sidecar.toml", "SETTLE_NODE__DATA_DIR=local/"] {
        assert!(readme.contains(made), "{made}");
    }
    assert!(files::text(".gitignore").lines().any(|line| line == "/local"));
    for misplaced in ["--config settle.toml", "--config sidecar.toml", "DATA_DIR=data"] {
        assert!(!readme.contains(misplaced), "{misplaced}");
    }
}
