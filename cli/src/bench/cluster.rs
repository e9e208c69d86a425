//! Three servers of one system on loopback, with data directories that vanish with them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::process::Server;
use super::{System, http};

/// Nodes of each system; a majority is two.
pub(super) const NODES: usize = 3;

/// From the start of the processes until all say they are ready.
const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

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
        self.nodes.iter().map(|node| node.server.cpu()).sum()
    }

    /// An error when a process has ended.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.server.check_running())
    }

    /// Waits until every node says it is ready.
    pub(super) async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        for node in &mut self.nodes {
            node.wait_until_ready(deadline).await?;
        }
        Ok(())
    }
}

impl Node {
    async fn wait_until_ready(&mut self, deadline: Instant) -> Result<()> {
        loop {
            self.server.check_running()?;
            let attempt = timeout(Duration::from_secs(1), http::get(self.health, self.health_path)).await;
            let answer = match attempt {
                Ok(Ok((200, _))) => return Ok(()),
                Ok(Ok((status, body))) => format!("HTTP {status}: {}", body.trim()),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer within 1 s".to_owned(),
            };
            if Instant::now() > deadline {
                bail!(
                    "http://{}{} is not ready after {START_DEADLINE:?}: {answer}; its last words:\n{}",
                    self.health,
                    self.health_path,
                    self.server.last_words()
                );
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// Loopback addresses whose ports are free for TCP and UDP. All are held until the last is found, so
/// they differ; another process may still take one before its server does, which then says so.
pub(super) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    const ATTEMPTS: usize = 100;
    let mut held = Vec::new();
    for _ in 0..count + ATTEMPTS {
        if held.len() == count {
            break;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free TCP port on loopback")?;
        let address = listener.local_addr().context("no address of a bound socket")?;
        if let Ok(socket) = UdpSocket::bind(address) {
            held.push((address, listener, socket));
        }
    }
    if held.len() < count {
        bail!("found no {count} ports on loopback that are free for both TCP and UDP");
    }
    Ok(held.into_iter().map(|(address, _, _)| address).collect())
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

/// Variables such as `ETCD_NAME` or `SETTLE_NODE__NAME` would override what the benchmark sets.
pub(super) fn forget_environment(command: &mut Command, prefix: &str) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(prefix) {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_are_free() {
        let addresses = free_addresses(9).unwrap();
        let distinct: std::collections::BTreeSet<_> = addresses.iter().collect();
        assert_eq!(distinct.len(), 9);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    }

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
