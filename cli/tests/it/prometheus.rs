//! A real Prometheus, with the configuration that the repository ships, against real replicas and a sidecar.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::cluster::{Cluster, NODES};
use crate::support::process::Process;
use crate::support::{eventually, files, http, programs};

const CONFIGURATION: &str = "prometheus/prometheus.yml";

#[test]
fn prometheus_accepts_the_shipped_configuration() {
    let output = Command::new(programs::theirs("promtool"))
        .args(["check", "config", CONFIGURATION])
        .current_dir(files::root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("WARNING"), "{said}");
}

/// Whoever follows the README has something to look at.
#[test]
fn the_shipped_targets_are_those_of_the_readme() {
    let readme = files::text("README.md");
    assert!(
        readme.contains("for i in 1 2 3; do") && readme.contains("SETTLE_LISTEN__ADMIN=127.0.0.1:75${i}2")
    );
    let targets = |file: &str| -> Vec<String> {
        let text = files::text(Path::new("prometheus").join(file));
        text.lines().filter_map(|line| line.strip_prefix("    - ")).map(str::to_owned).collect()
    };
    let replicas = targets("settled.targets.yml");
    assert_eq!(replicas, ["localhost:7512", "localhost:7522", "localhost:7532"]);
    assert_eq!(targets("settle-sidecar.targets.yml"), ["localhost:7410"]);
    assert!(readme.contains("curl http://127.0.0.1:7410/"));
}

#[test]
fn prometheus_scrapes_every_replica_and_the_sidecar() {
    let cluster = Cluster::start();
    for address in cluster.metrics_addresses() {
        check_page(address);
    }
    let (_prometheus, web) = start_prometheus(&cluster);
    let up = eventually("every target is up", || targets_up(web));
    let wanted = |job: &str, addresses: &[SocketAddr]| -> Vec<(String, String)> {
        addresses.iter().map(|address| (job.to_owned(), address.to_string())).collect()
    };
    let addresses = cluster.metrics_addresses();
    let (replicas, sidecar) = addresses.split_at(NODES);
    let mut all = [wanted("settled", replicas), wanted("settle-sidecar", sidecar)].concat();
    all.sort();
    assert_eq!(up, all, "job and instance of the targets that are up");
    // What is scraped can be asked for: the two lags that the dashboards set side by side.
    eventually("lags as the replicas prove them", || {
        series(web, "settle_replication_lag_seconds", NODES * (NODES - 1))
    });
    eventually("lags as the sidecar sees them", || {
        series(web, "settle_probe_replication_lag_seconds", NODES - 1)
    });
}

/// Prometheus' own reader and linter must have nothing to say about a page.
fn check_page(address: SocketAddr) {
    let page = http::get(address, "/metrics").unwrap();
    let mut promtool = Command::new(programs::theirs("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "promtool on http://{address}/metrics: {said}"
    );
}

/// Starts Prometheus on copies of the shipped files, with other targets.
fn start_prometheus(cluster: &Cluster) -> (Process, SocketAddr) {
    let directory = cluster.directory().join("prometheus");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(files::root().join(CONFIGURATION), directory.join("prometheus.yml")).unwrap();
    let addresses = cluster.metrics_addresses();
    let (replicas, sidecar) = addresses.split_at(NODES);
    write_targets(&directory.join("settled.targets.yml"), replicas);
    write_targets(&directory.join("settle-sidecar.targets.yml"), sidecar);
    let mut command = Command::new(programs::theirs("prometheus"));
    command
        .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0");
    let mut process = Process::start("prometheus-process", &mut command, cluster.directory());
    let web = process.said("where it listens", |line| {
        let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
        address.trim().parse().ok()
    });
    (process, web)
}

/// The shipped file names the addresses of the README; here the same form with those of the test.
fn write_targets(path: &Path, addresses: &[SocketAddr]) {
    let name = path.file_name().unwrap();
    let shipped = files::text(Path::new("prometheus").join(name));
    let (before, _) = shipped.split_once("    - localhost:").unwrap();
    let lines: String = addresses.iter().map(|address| format!("    - {address}\n")).collect();
    std::fs::write(path, format!("{before}{lines}")).unwrap();
}

/// Job and instance of all targets, sorted, once there are as many as there should be and all are up.
fn targets_up(web: SocketAddr) -> Result<Vec<(String, String)>, String> {
    let answer = ask(web, "/api/v1/targets?state=active")?;
    let targets = answer["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
    if targets.len() < NODES + 1 || targets.iter().any(|target| target["health"] != "up") {
        return Err(answer.to_string());
    }
    let label = |target: &Value, name: &str| target["labels"][name].as_str().unwrap().to_owned();
    let mut up: Vec<_> =
        targets.iter().map(|target| (label(target, "job"), label(target, "instance"))).collect();
    up.sort();
    Ok(up)
}

/// Content once a metric has exactly `count` series.
fn series(web: SocketAddr, metric: &str, count: usize) -> Result<(), String> {
    let answer = ask(web, &format!("/api/v1/query?query={metric}"))?;
    let found = answer["data"]["result"].as_array().map_or(0, Vec::len);
    if found == count { Ok(()) } else { Err(format!("{found} series instead of {count}: {answer}")) }
}

fn ask(web: SocketAddr, path: &str) -> Result<Value, String> {
    serde_json::from_str(&http::get(web, path)?).map_err(|error| error.to_string())
}
