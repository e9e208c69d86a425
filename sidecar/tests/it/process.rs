//! The program itself: its flags, its exit codes, its end.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use crate::cluster::Cluster;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settle-sidecar"));
    command.env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn flags() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("settle-sidecar "));
    let defaults = run(&["--print-default-config"]);
    assert!(defaults.status.success());
    let defaults = file(&String::from_utf8(defaults.stdout).unwrap());
    let path = defaults.path().to_str().unwrap();
    assert!(run(&["--check-config", "--config", path]).status.success());
    let wrong = file("[probe]\ninterval = \"1s\"\nkeys = 3\n[treshholds]\n");
    let checked = run(&["--check-config", "--config", wrong.path().to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("probe.keys") && said.contains("treshholds"), "{said}");
    let absent = run(&["--config", "/nonexistent/settle.toml"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("/nonexistent/settle.toml"));
}

#[test]
fn port_in_use_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = file(&format!("[listen]\nhttp = \"{}\"\n", taken.local_addr().unwrap()));
    let ended = run(&["--config", config.path().to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("listen.http") && said.contains("in use"), "{said}");
}

#[test]
fn ends_on_a_signal() {
    // Nobody is at port 1: a daemon that is down must not delay the end either.
    let config = file("[target]\nadmin = \"http://127.0.0.1:1\"\n[listen]\nhttp = \"127.0.0.1:0\"\n");
    let mut child =
        program().args(["--config", config.path().to_str().unwrap()]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("sidecar listening")));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // Read on, so that it is not held up by a full pipe.
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Starts a sidecar beside the replica with this admin address; the first line of its log with `text`.
fn logged(admin: SocketAddr, text: &str) -> String {
    let target = format!("[target]\nadmin = \"http://{admin}\"\n[listen]\nhttp = \"127.0.0.1:0\"\n");
    let config = file(&target);
    let mut child =
        program().args(["--config", config.path().to_str().unwrap()]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said =
        tokio::task::block_in_place(|| lines.find_map(|line| line.ok().filter(|line| line.contains(text))));
    child.kill().unwrap();
    child.wait().unwrap();
    said.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_not_called_silence() {
    let cluster = Cluster::start(&[]).await;
    cluster.store().nonsense =
        Some("{\"cluster\": \"fakes\", \"self\": \"n1\", \"members\": [{\"name\": null}]}");
    let said = logged(cluster.admin, "peers cannot be discovered");
    assert!(said.contains("answer that is not understood") && said.contains("invalid type: null"), "{said}");
    assert!(!said.contains("does not answer"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_for_clients_is_called_that() {
    let cluster = Cluster::start(&[]).await;
    let said = logged(cluster.own, "peers cannot be discovered");
    for expected in ["ERROR", "the API address of a replica", "Set target.admin to its admin address"] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}
