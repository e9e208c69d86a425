//! Three `settled` on loopback.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::System;
use super::cluster::{self, Cluster, NODES, Node};
use crate::settled::{Plan, free_ports};

/// Starts the processes; they are not ready yet.
pub(super) fn start(program: Option<&Path>, base: &Path) -> Result<Cluster> {
    let program = find(program)?;
    let version = cluster::version(&program)?;
    let directory = cluster::temporary_directory(base, System::Settle)?;
    let ports = free_ports(NODES)?;
    let plan = Plan { program: &program, cluster: "bench", directory: directory.path(), ports, extra: "" };
    let node = |(server, ports): (_, &crate::settled::Ports)| Node {
        server,
        client: ports.api,
        health: ports.admin,
        health_path: "/readyz",
    };
    let nodes = plan.start()?.into_iter().zip(&plan.ports).map(node).collect();
    Ok(Cluster::new(System::Settle, version, nodes, directory))
}

/// The given program, or the `settled` beside this one.
fn find(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        None => crate::processes::beside("settled"),
        Some(path) if path.is_file() => Ok(path.to_owned()),
        Some(path) => bail!("{} does not exist: name another with --settled", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_daemon_is_named() {
        let error = start(Some(Path::new("/nonexistent/settled")), &std::env::temp_dir()).unwrap_err();
        assert!(error.to_string().contains("--settled"), "{error}");
    }
}
