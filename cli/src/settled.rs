//! Nodes of Settle on loopback, configured as by default but for names and addresses.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::leash::leashed;
use crate::processes::{Server, forget_environment, free_addresses};

/// Where one node listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) api: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// What the nodes of one cluster have in common.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) program: &'a Path,
    /// Name of the cluster.
    pub(crate) cluster: &'static str,
    /// Holds configuration, data and log of every node.
    pub(crate) directory: &'a Path,
    pub(crate) ports: Vec<Ports>,
    /// Appended to every configuration.
    pub(crate) extra: &'static str,
}

/// Free ports for as many nodes.
pub(crate) fn free_ports(nodes: usize) -> Result<Vec<Ports>> {
    let addresses = free_addresses(3 * nodes)?;
    Ok(addresses.as_chunks().0.iter().map(|&[api, peer, admin]| Ports { api, peer, admin }).collect())
}

/// The name of the node with this index: n1, n2, ...
pub(crate) fn name(index: usize) -> String {
    format!("n{}", index + 1)
}

impl Plan<'_> {
    /// Writes every node's configuration and starts its process; they are not ready yet.
    pub(crate) fn start(&self) -> Result<Vec<Server>> {
        let mut servers = Vec::new();
        for (index, ports) in self.ports.iter().enumerate() {
            let name = name(index);
            let file = self.directory.join(format!("{name}.toml"));
            std::fs::write(&file, self.configuration(&name, ports)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
            servers.push(start_node(self.program, self.directory, &name)?);
        }
        Ok(servers)
    }

    /// Durability is the default; it is written out because what is shown and measured rests on it.
    fn configuration(&self, name: &str, ports: &Ports) -> Result<String> {
        let data = self.directory.join(name);
        let data = data.to_str().context("the data directory's path is not valid UTF-8")?;
        let seeds: Vec<String> = self.ports.iter().map(|ports| ports.peer.to_string()).collect();
        let mut text = String::new();
        // A JSON string of ordinary characters is a TOML basic string too.
        write!(
            text,
            "[node]\nname = \"{name}\"\ndata_dir = {data}\n\n\
             [listen]\napi = \"{api}\"\npeer = \"{peer}\"\nadmin = \"{admin}\"\n\n\
             [cluster]\nname = \"{cluster}\"\nseeds = {seeds}\nexpect = {expect}\n\n\
             [storage]\ndurability = \"always\"\n{extra}",
            data = serde_json::to_string(data)?,
            api = ports.api,
            peer = ports.peer,
            admin = ports.admin,
            cluster = self.cluster,
            seeds = serde_json::to_string(&seeds)?,
            expect = self.ports.len(),
            extra = self.extra,
        )?;
        Ok(text)
    }
}

/// Starts the node of this name, or starts it again, with the configuration in the directory.
pub(crate) fn start_node(program: &Path, directory: &Path, name: &str) -> Result<Server> {
    let mut command = Command::new(program);
    command.arg("--config").arg(directory.join(format!("{name}.toml")));
    forget_environment(&mut command, "SETTLE_");
    Server::start(name, leashed(&command)?, directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_names_the_node_its_ports_and_all_seeds() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ports =
            |first| Ports { api: address(first), peer: address(first + 1), admin: address(first + 2) };
        let plan = Plan {
            program: Path::new("settled"),
            cluster: "bench",
            directory: Path::new("/data/x"),
            ports: vec![ports(1), ports(4)],
            extra: "\n[echo]\ninterval = \"50ms\"\n",
        };
        let text = plan.configuration("n1", &plan.ports[0]).unwrap();
        for line in [
            "name = \"n1\"",
            "data_dir = \"/data/x/n1\"",
            "api = \"127.0.0.1:1\"",
            "peer = \"127.0.0.1:2\"",
            "admin = \"127.0.0.1:3\"",
            "seeds = [\"127.0.0.1:2\",\"127.0.0.1:5\"]",
            "expect = 2",
            "durability = \"always\"",
            "[echo]",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
        }
    }
}
