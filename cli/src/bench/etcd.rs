//! Three nodes of Debian's etcd on loopback, as they are by default: every write is in the log of a
//! majority, synced, before it is acknowledged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::System;
use super::cluster::{self, Cluster, NODES, Node};
use crate::leash::leashed;
use crate::processes::{Server, forget_environment, free_addresses};

/// Starts the processes; they are not ready yet.
pub(super) fn start(program: Option<&Path>, base: &Path) -> Result<Cluster> {
    let program = find(program)?;
    let version = cluster::version(&program)?;
    let directory = cluster::temporary_directory(base, System::Etcd)?;
    let addresses = free_addresses(2 * NODES)?;
    let ports: Vec<[SocketAddr; 2]> = addresses.as_chunks().0.to_vec();
    let members: Vec<String> =
        (1..).zip(&ports).map(|(index, [_, peer])| format!("e{index}=http://{peer}")).collect();
    let members = members.join(",");
    let mut nodes = Vec::new();
    for (index, &[client, peer]) in (1..).zip(&ports) {
        let name = format!("e{index}");
        let command = command(&program, &name, &directory.path().join(&name), (client, peer), &members);
        let server = Server::start(&name, leashed(&command)?, directory.path())?;
        nodes.push(Node { server, client, health: client, health_path: "/health" });
    }
    Ok(Cluster::new(System::Etcd, version, nodes, directory))
}

fn command(
    program: &Path,
    name: &str,
    data: &Path,
    (client, peer): (SocketAddr, SocketAddr),
    members: &str,
) -> Command {
    let mut command = Command::new(program);
    forget_environment(&mut command, "ETCD_");
    // etcd refuses to start on some architectures, arm64 among them in older versions, without this.
    command.env("ETCD_UNSUPPORTED_ARCH", unsupported_name());
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    command.args(["--name", name, "--initial-cluster-token", "bench", "--initial-cluster-state", "new"]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", members, "--logger", "zap", "--log-outputs", "stderr"]);
    command.arg("--data-dir").arg(data);
    command
}

/// Go's name of this architecture, where it differs from Rust's.
fn unsupported_name() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// The given program, or the one on the PATH, or the one that `scripts/tools.sh etcd` unpacked.
fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("etcd"));
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    // From target/release/settle upwards to the repository, whose .tools/ is not in version control.
    let unpacked = program.ancestors().map(|directory| directory.join(".tools/bin/etcd"));
    let found = on_path.chain(unpacked).find(|candidate| candidate.is_file());
    let Some(found) = found else {
        bail!("there is no etcd to compare with: run scripts/tools.sh etcd, or measure with --only settle");
    };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_knows_all_members_and_only_its_own_addresses() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let command = command(
            Path::new("etcd"),
            "e1",
            Path::new("/data/e1"),
            (address(1), address(2)),
            "e1=http://127.0.0.1:2,e2=http://127.0.0.1:4",
        );
        let arguments: Vec<_> = command.get_args().filter_map(|argument| argument.to_str()).collect();
        let after = |flag: &str| {
            let at = arguments.iter().position(|argument| *argument == flag).unwrap();
            arguments[at + 1]
        };
        assert_eq!(after("--listen-client-urls"), "http://127.0.0.1:1");
        assert_eq!(after("--listen-peer-urls"), "http://127.0.0.1:2");
        assert_eq!(after("--initial-cluster"), "e1=http://127.0.0.1:2,e2=http://127.0.0.1:4");
        assert_eq!(after("--data-dir"), "/data/e1");
        assert!(!arguments.iter().any(|argument| argument.contains("fsync")));
    }
}
