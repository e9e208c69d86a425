//! What the log says of a breach and of a target that refuses: the beginning and the end, and no more.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Cluster, Mode};

/// How long anything may take that a test waits for. Only a test that fails takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

const PROMPT: Mode = Mode::Delayed(Duration::ZERO);

/// The program with its log in a file; killed when dropped.
struct Logged {
    child: Child,
    log: PathBuf,
    _directory: TempDir,
}

impl Logged {
    fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (file, log) = (directory.path().join("sidecar.toml"), directory.path().join("log"));
        let text = format!(
            "[target]\nadmin = \"http://{}\"\n[listen]\nhttp = \"127.0.0.1:0\"\n\
             [probe]\ninterval = \"50ms\"\nkeys = 400\nbudget_per_second = 5000\n\
             [thresholds]\nreplication_lag = \"600ms\"\n",
            cluster.admin
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_settle-sidecar"))
            .env_clear()
            .arg("--config")
            .arg(file)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, _directory: directory }
    }

    /// The lines with this message.
    fn lines(&self, message: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }

    /// Those among them that are about the lag; other objectives may be breached as well.
    fn of_lag(&self, message: &str) -> Vec<Value> {
        self.lines(message).into_iter().filter(|line| line["objective"] == "replication_lag").collect()
    }

    /// The first line with this message; of those about objectives, the first about the lag.
    async fn line(&self, message: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        let is_wanted = |line: &Value| line["objective"].is_null() || line["objective"] == "replication_lag";
        loop {
            if let Some(line) = self.lines(message).into_iter().find(is_wanted) {
                return line;
            }
            assert!(
                Instant::now() < end,
                "no {message:?} in\n{}",
                std::fs::read_to_string(&self.log).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_is_logged_once_and_so_is_its_end() {
    let cluster = Cluster::start(&[PROMPT, PROMPT]).await;
    let sidecar = Logged::start(&cluster);
    sidecar.line("peer found").await;
    cluster.peer("n3").set(Mode::CutOff(Instant::now()));
    let began = sidecar.line("threshold breached").await;
    assert_eq!(
        (&began["level"], &began["objective"], &began["peer"]),
        (&"WARN".into(), &"replication_lag".into(), &"n3".into())
    );
    assert_eq!(began["threshold"], 0.6);
    assert!(began["value"].as_f64().unwrap() > 0.6, "{began}");
    assert!(sidecar.of_lag("breach ended").is_empty());
    // It lasts, and is not said again.
    tokio::time::sleep(Duration::from_millis(600)).await;
    cluster.peer("n3").set(PROMPT);
    let ended = sidecar.line("breach ended").await;
    assert_eq!((&ended["objective"], &ended["peer"]), (&"replication_lag".into(), &"n3".into()));
    assert!(
        ended["value"].as_f64().unwrap() <= 0.6 && ended["lasted_seconds"].as_f64().unwrap() > 0.5,
        "{ended}"
    );
    assert_eq!(sidecar.of_lag("threshold breached").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_canaries_is_logged_when_it_changes() {
    let cluster = Cluster::start(&[PROMPT]).await;
    let sidecar = Logged::start(&cluster);
    sidecar.line("peer found").await;
    let refused = async |reason| {
        let before = cluster.store().refused;
        cluster.store().refusal = Some(reason);
        let end = Instant::now() + PATIENCE;
        while cluster.store().refused < before + 5 {
            assert!(Instant::now() < end, "no canary is tried");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    refused("the disk is gone").await;
    let said = sidecar.line("canary not acknowledged").await;
    assert!(said["error"].as_str().unwrap().contains("the disk is gone"), "{said}");
    refused("the disk is slow").await;
    cluster.store().refusal = None;
    let over = sidecar.line("canaries are acknowledged again; so many were not").await;
    assert!(over["canaries"].as_u64().unwrap() >= 4, "{over}");
    let said = sidecar.lines("canary not acknowledged");
    assert_eq!(said.len(), 2, "one for each reason: {said:?}");
}
