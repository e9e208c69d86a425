//! Three real `settled` and one `settle-sidecar` on loopback, on ports that the system chooses.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, http, programs};

/// Replicas of a test cluster.
pub(crate) const NODES: usize = 3;

/// Running replicas alone. Their processes end before their directory goes, by the order of the fields.
pub(crate) struct Replicas {
    /// `n1` and so on.
    pub(crate) nodes: Vec<Node>,
    directory: TempDir,
}

/// A running cluster. Its processes end before its directory goes, by the order of the fields.
pub(crate) struct Cluster {
    /// The replicas, `n1` to `n3`.
    pub(crate) nodes: Vec<Node>,
    /// The sidecar of `n1`.
    pub(crate) sidecar: SocketAddr,
    _sidecar: Process,
    directory: TempDir,
}

/// One replica.
pub(crate) struct Node {
    /// For clients.
    pub(crate) api: SocketAddr,
    /// For operators.
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    peer: SocketAddr,
}

impl Replicas {
    /// Starts as many and waits until each says that it is ready and that all others are up.
    pub(crate) fn start(count: usize) -> Self {
        let replicas = Self::start_some(count, count);
        for node in &replicas.nodes {
            eventually("a replica is ready", || http::get(node.admin, "/readyz"));
            eventually("all others are up", || {
                let members = http::get(node.admin, "/v1/members")?;
                if members.contains("\"up\":false") { Err(members) } else { Ok(()) }
            });
        }
        replicas
    }

    /// Starts fewer than the cluster is to have: they will not be ready.
    pub(crate) fn start_some(count: usize, expect: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut nodes: Vec<Node> = Vec::new();
        for index in 1..=count {
            // The first has nobody to begin with and is found by the others, so no port is chosen here.
            let seed = nodes.first().map(|node| node.peer);
            nodes.push(Node::start(&format!("n{index}"), seed, expect, &directory));
        }
        Self { nodes, directory }
    }

    /// Where further files of the test may go.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Cluster {
    /// Starts everything and waits until every program says that it is ready.
    pub(crate) fn start() -> Self {
        Self::start_of(NODES)
    }

    /// The same with as many replicas.
    pub(crate) fn start_of(count: usize) -> Self {
        let Replicas { nodes, directory } = Replicas::start(count);
        let (process, sidecar) = start_sidecar("sidecar", nodes[0].admin, &directory);
        Self { nodes, sidecar, _sidecar: process, directory }
    }

    /// Starts a further sidecar that takes this for the admin address of its replica, and waits until it
    /// is ready; where it listens.
    pub(crate) fn sidecar_at(&self, name: &str, admin: SocketAddr) -> (Process, SocketAddr) {
        start_sidecar(name, admin, &self.directory)
    }

    /// Where further files of the test may go.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The address of every `/metrics`: the replicas', then the sidecar's.
    pub(crate) fn metrics_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.admin).chain([self.sidecar]).collect()
    }
}

impl Node {
    fn start(name: &str, seed: Option<SocketAddr>, expect: usize, directory: &TempDir) -> Self {
        let data = directory.path().join(name);
        let seeds: Vec<String> = seed.iter().map(SocketAddr::to_string).collect();
        let text = format!(
            "[node]\nname = {name:?}\ndata_dir = {data:?}\n\n\
             [listen]\napi = \"127.0.0.1:0\"\npeer = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n\
             [cluster]\nname = \"it\"\nseeds = {seeds:?}\nexpect = {expect}\n\n\
             [[bucket]]\nname = \"profiles\"\nresolver = \"siblings\"\n"
        );
        let mut process = start("settled", name, &text, directory);
        let [api, peer, admin] =
            process.said("where it listens", |line| logged(line, "listening", ["api", "peer", "admin"]));
        Self { api, admin, process, peer }
    }
}

fn start_sidecar(name: &str, admin: SocketAddr, directory: &TempDir) -> (Process, SocketAddr) {
    let text = format!(
        "[target]\nadmin = \"http://{admin}\"\n\n[listen]\nhttp = \"127.0.0.1:0\"\n\n\
         [probe]\ninterval = \"200ms\"\nkeys = 50\n"
    );
    let mut process = start("settle-sidecar", name, &text, directory);
    let [address] = process.said("where it listens", |line| logged(line, "sidecar listening", ["address"]));
    eventually("the sidecar is ready", || http::get(address, "/readyz"));
    (process, address)
}

fn start(program: &str, name: &str, configuration: &str, directory: &TempDir) -> Process {
    let file = directory.path().join(format!("{name}.toml"));
    std::fs::write(&file, configuration).unwrap();
    Process::start(name, Command::new(programs::ours(program)).arg("--config").arg(file), directory.path())
}

/// The addresses in a line of the log, if it is the one with this message.
fn logged<const N: usize>(line: &str, message: &str, fields: [&str; N]) -> Option<[SocketAddr; N]> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == message).then(|| fields.map(|field| line[field].as_str().unwrap().parse().unwrap()))
}
