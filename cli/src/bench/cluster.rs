//! Three servers of one system on loopback, with data directories that vanish with them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use settle_wire::http::{Client, ClientLimits};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{System, usage};
use crate::processes::Server;
use crate::readiness::{self, START_DEADLINE};

/// Nodes of each system; a majority is two.
pub(super) const NODES: usize = 3;

/// A running system. Dropping it kills its processes, then removes its directory: in that order,
/// which is the order of the fields.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) system: System,
    /// What its program says when asked for its version.
    pub(super) version: String,
    nodes: Vec<Node>,
    _directory: TempDir,
}

/// One server and where to find it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) server: Server,
    /// For clients.
    pub(super) client: SocketAddr,
    /// Answers 200 at `health_path` once it can serve.
    pub(super) health: SocketAddr,
    pub(super) health_path: &'static str,
}

impl Cluster {
    pub(super) fn new(system: System, version: String, nodes: Vec<Node>, directory: TempDir) -> Self {
        Self { system, version, nodes, _directory: directory }
    }

    /// Addresses for clients.
    pub(super) fn clients(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.client).collect()
    }

    /// CPU time of all its processes since they started.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.nodes.iter().map(|node| usage::of_process(node.server.id())).sum()
    }

    /// An error when a process has ended.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.server.check_running())
    }

    /// Waits until every node says it is ready.
    pub(super) async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let client = Client::new(ClientLimits::default());
        for Node { server, health, health_path, .. } in &mut self.nodes {
            readiness::wait(server, &client, *health, health_path, deadline).await?;
        }
        Ok(())
    }
}

/// A new directory for one system's data.
pub(super) fn temporary_directory(base: &Path, system: System) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("bench-{}-", system.name()))
        .tempdir_in(base)
        .with_context(|| format!("cannot create a directory in {}", base.display()))
}

/// First line of `PROGRAM --version`.
pub(super) fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::free_addresses;

    #[tokio::test]
    async fn a_server_that_dies_before_it_is_ready_ends_the_wait() {
        let directory = temporary_directory(&std::env::temp_dir(), System::Settle).unwrap();
        let kept = directory.path().to_owned();
        let server = Server::start("n1", Command::new("false"), directory.path()).unwrap();
        let address = free_addresses(1).unwrap()[0];
        let node = Node { server, client: address, health: address, health_path: "/readyz" };
        let mut cluster = Cluster::new(System::Settle, String::new(), vec![node], directory);
        let error = cluster.wait_until_ready().await.unwrap_err().to_string();
        assert!(error.contains("n1 ended by itself"), "{error}");
        drop(cluster);
        assert!(!kept.exists());
    }
}
