//! The processes of the demo: nodes and a sidecar on loopback, with data that vanishes with them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use settle_wire::http::{Base, Client, ClientLimits};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::state::State;
use crate::leash::leashed;
use crate::processes::{Server, beside, forget_environment, free_addresses};
use crate::readiness::{self, START_DEADLINE};
use crate::settled::{Plan, Ports, free_ports, name, start_node};

/// After this the sidecar gives a canary up.
pub(super) const CANARY_DEADLINE: Duration = Duration::from_secs(10);

/// The rivals' bucket (see `traffic`).
const BUCKETS: &str = "\n[[bucket]]\nname = \"notes\"\nresolver = \"siblings\"\n";

const STATE_DEADLINE: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running demo. Dropping it kills its processes, then removes its directory: in that order, which
/// is the order of the fields.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    sidecar: Server,
    sidecar_address: SocketAddr,
    pub(super) client: Client,
    program: PathBuf,
    directory: TempDir,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) server: Server,
    pub(super) ports: Ports,
    /// Whether it is meant to be down.
    pub(super) disturbed: bool,
}

impl Cluster {
    /// Starts everything and waits until it serves and the sidecar sees every peer. Dropped on the
    /// way, it leaves nothing behind.
    pub(super) async fn start(nodes: usize) -> Result<Self> {
        let (program, sidecar) = (beside("settled")?, beside("settle-sidecar")?);
        let directory = tempfile::Builder::new()
            .prefix("settle-demo-")
            .tempdir()
            .context("cannot create a temporary directory")?;
        let plan = Plan {
            program: &program,
            cluster: "demo",
            directory: directory.path(),
            ports: free_ports(nodes)?,
            extra: BUCKETS,
        };
        let mut servers = plan.start()?;
        let ports = plan.ports;
        let client = Client::new(ClientLimits::default());
        let deadline = Instant::now() + START_DEADLINE;
        for (server, ports) in servers.iter_mut().zip(&ports) {
            readiness::wait(server, &client, ports.admin, "/readyz", deadline).await?;
        }
        let own = ports.first().context("no nodes")?;
        let sidecar_address = *free_addresses(1)?.first().context("no free port")?;
        let sidecar = start_sidecar(&sidecar, &directory, sidecar_address, own.admin, nodes)?;
        let join = |(server, ports)| Node { server, ports, disturbed: false };
        let nodes = servers.into_iter().zip(ports).map(join).collect();
        let mut cluster = Self { nodes, sidecar, sidecar_address, client, program, directory };
        let (server, client) = (&mut cluster.sidecar, &cluster.client);
        readiness::wait(server, client, sidecar_address, "/readyz", deadline).await?;
        cluster.wait_for_peers(deadline).await?;
        Ok(cluster)
    }

    /// Waits until the sidecar has read from every peer.
    async fn wait_for_peers(&mut self, deadline: Instant) -> Result<()> {
        let peers = self.nodes.len() - 1;
        loop {
            self.check_running()?;
            let seen = match self.state().await {
                Ok(state) => state.peers.iter().filter(|peer| peer.up == Some(true)).count(),
                Err(_) => 0,
            };
            if seen == peers {
                return Ok(());
            }
            if Instant::now() > deadline {
                let words = self.sidecar.last_words();
                bail!("the sidecar reads from {seen} of {peers} peers only; its last words:\n{words}");
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// What the sidecar says at this moment.
    pub(super) async fn state(&self) -> Result<State> {
        let sidecar = readiness::base(self.sidecar_address)?;
        let (state, _) = self.client.json(&sidecar, "/v1/state", STATE_DEADLINE).await?;
        Ok(state)
    }

    /// An error when a process has ended that should run.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.sidecar.check_running()?;
        let mut expected = self.nodes.iter_mut().filter(|node| !node.disturbed);
        expected.try_for_each(|node| node.server.check_running())
    }

    /// Starts the node of this index again, with its data.
    pub(super) fn restart(&mut self, index: usize) -> Result<()> {
        let node = self.nodes.get_mut(index).context("no such node")?;
        node.server = start_node(&self.program, self.directory.path(), &name(index))?;
        Ok(())
    }

    /// Where clients find the nodes.
    pub(super) fn bases(&self) -> Result<Arc<[Base]>> {
        self.nodes.iter().map(|node| readiness::base(node.ports.api)).collect()
    }

    /// Every URL to look at.
    pub(super) fn urls(&self) -> String {
        let sidecar = self.sidecar_address;
        let mut text = format!(
            "sidecar  status  http://{sidecar}/   state  http://{sidecar}/v1/state\n         \
             metrics http://{sidecar}/metrics"
        );
        for Node { server, ports, .. } in &self.nodes {
            let Ports { api, admin, .. } = ports;
            text.push_str(&format!(
                "\n{:<8} api     http://{api}/   metrics http://{admin}/metrics",
                server.name()
            ));
        }
        text
    }
}

/// Beside the first node, with more canaries than by default, so that a short demo has enough of them.
fn start_sidecar(
    program: &std::path::Path,
    directory: &TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
    nodes: usize,
) -> Result<Server> {
    let file = directory.path().join("sidecar.toml");
    std::fs::write(&file, sidecar_configuration(listen, admin, nodes))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&file);
    forget_environment(&mut command, "SETTLE_");
    Server::start("sidecar", leashed(&command)?, directory.path())
}

/// The window is short, so that one sees quantiles fall again after a disturbance. All thresholds are
/// the defaults.
fn sidecar_configuration(listen: SocketAddr, admin: SocketAddr, nodes: usize) -> String {
    format!(
        "[target]\nkind = \"settle\"\nadmin = \"http://{admin}\"\n\n\
         [listen]\nhttp = \"{listen}\"\n\n\
         [probe]\ninterval = \"250ms\"\ndeadline = \"{}s\"\nkeys = 64\n\
         budget_per_second = {}\npeers_per_cycle = {}\nwindow = \"1m\"\n\n\
         [thresholds]\nreplication_lag = \"5s\"\n",
        CANARY_DEADLINE.as_secs(),
        100 * nodes,
        nodes,
    )
}
