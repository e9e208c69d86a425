//! `settle demo` with real programs: it ends well, and leaves nothing behind, however it ends.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::{eventually, programs};

#[test]
fn a_demo_ends_well_and_leaves_nothing() {
    let (mut demo, temporary, _log) = start(&["demo", "--duration", "10s"]);
    let code = demo.ended();
    assert_eq!(code, Some(0), "{}", demo.log());
    for part in ["metrics", "visibility", "convergence", "lag", "stale", "conflicts"] {
        assert!(demo.log().contains(part), "no {part} in\n{}", demo.log());
    }
    assert_nothing_left(temporary.path());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let (mut demo, temporary, _log) = start(&["demo", "--nodes", "2"]);
    demo.said("where the replicas are", |line| line.starts_with("n2 ").then_some(()));
    assert!(
        !processes_that_name(temporary.path()).is_empty(),
        "what is not found while it runs proves nothing after"
    );
    demo.interrupt();
    let code = demo.ended();
    assert!(matches!(code, Some(0 | 1 | 130)), "{code:?}\n{}", demo.log());
    assert_nothing_left(temporary.path());
}

/// Nobody is left then to stop the servers; only the directory stays.
#[test]
fn the_servers_of_a_killed_demo_end_with_it() {
    let (mut demo, temporary, _log) = start(&["demo", "--nodes", "2"]);
    demo.said("where the replicas are", |line| line.starts_with("n2 ").then_some(()));
    assert_eq!(processes_that_name(temporary.path()).len(), 3, "two replicas and a sidecar");
    demo.kill();
    assert_eq!(demo.ended(), None);
    assert_no_processes(temporary.path());
}

/// A demo whose temporary files go to a directory of its own, and where its log is.
fn start(arguments: &[&str]) -> (Process, TempDir, TempDir) {
    // Both are there, and as new as their sources: the demo starts what lies beside it.
    programs::ours("settled");
    programs::ours("settle-sidecar");
    let (temporary, log) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = Command::new(programs::ours("settle"));
    command.args(arguments).env("TMPDIR", temporary.path());
    (Process::start("demo", &mut command, log.path()), temporary, log)
}

fn assert_nothing_left(temporary: &Path) {
    let files: Vec<_> = std::fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.is_empty(), "left behind: {files:?}");
    assert_no_processes(temporary);
}

fn assert_no_processes(temporary: &Path) {
    // The kernel may take a moment to forget a process that was killed.
    eventually("every process of the demo is gone", || match processes_that_name(temporary).as_slice() {
        [] => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

/// Command lines with the directory in them: every server's names its configuration there.
fn processes_that_name(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    // A process may end while we look; its file is gone then.
    let lines = processes.filter_map(|file| std::fs::read(file).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(directory))
        .collect()
}
