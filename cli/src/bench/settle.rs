//! Three `settled` on loopback, configured as by default but for names and addresses.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::System;
use super::cluster::{self, Cluster, NODES, Node};
use super::process::Server;

/// Starts the processes; they are not ready yet.
pub(super) fn start(program: Option<&Path>, base: &Path) -> Result<Cluster> {
    let program = find(program)?;
    let version = cluster::version(&program)?;
    let directory = cluster::temporary_directory(base, System::Settle)?;
    let addresses = cluster::free_addresses(3 * NODES)?;
    let ports: Vec<Ports> =
        addresses.as_chunks().0.iter().map(|&[api, peer, admin]| Ports { api, peer, admin }).collect();
    let seeds: Vec<SocketAddr> = ports.iter().map(|ports| ports.peer).collect();
    let mut nodes = Vec::new();
    for (index, ports) in ports.iter().enumerate() {
        let name = format!("n{}", index + 1);
        let file = directory.path().join(format!("{name}.toml"));
        std::fs::write(&file, configuration(&name, directory.path(), ports, &seeds)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(&program);
        command.arg("--config").arg(&file);
        cluster::forget_environment(&mut command, "SETTLE_");
        let server = Server::start(&name, command, directory.path())?;
        nodes.push(Node { server, client: ports.api, health: ports.admin, health_path: "/readyz" });
    }
    Ok(Cluster::new(System::Settle, version, nodes, directory))
}

#[derive(Debug)]
struct Ports {
    api: SocketAddr,
    peer: SocketAddr,
    admin: SocketAddr,
}

/// The given program, or the `settled` beside this one: built together, measured together.
fn find(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            std::env::current_exe().context("cannot tell where this program lies")?.with_file_name("settled")
        }
    };
    if !path.is_file() {
        bail!(
            "{} does not exist: build it (cargo build --release), or name it with --settled",
            path.display()
        );
    }
    Ok(path)
}

/// Durability is the default; it is written out because the comparison rests on it.
fn configuration(name: &str, directory: &Path, ports: &Ports, seeds: &[SocketAddr]) -> Result<String> {
    let data = directory.join(name);
    let data = data.to_str().context("the data directory's path is not valid UTF-8")?;
    let seeds: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
    let mut text = String::new();
    // A JSON string of ordinary characters is a TOML basic string too.
    write!(
        text,
        "[node]\nname = \"{name}\"\ndata_dir = {data}\n\n\
         [listen]\napi = \"{api}\"\npeer = \"{peer}\"\nadmin = \"{admin}\"\n\n\
         [cluster]\nname = \"bench\"\nseeds = {seeds}\nexpect = {NODES}\n\n\
         [storage]\ndurability = \"always\"\n",
        data = serde_json::to_string(data)?,
        api = ports.api,
        peer = ports.peer,
        admin = ports.admin,
        seeds = serde_json::to_string(&seeds)?,
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_names_the_node_its_ports_and_all_seeds() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ports = Ports { api: address(1), peer: address(2), admin: address(3) };
        let text = configuration("n1", Path::new("/data/x"), &ports, &[address(2), address(5)]).unwrap();
        for line in [
            "name = \"n1\"",
            "data_dir = \"/data/x/n1\"",
            "api = \"127.0.0.1:1\"",
            "peer = \"127.0.0.1:2\"",
            "admin = \"127.0.0.1:3\"",
            "seeds = [\"127.0.0.1:2\",\"127.0.0.1:5\"]",
            "expect = 3",
            "durability = \"always\"",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
        }
    }

    #[test]
    fn a_missing_daemon_is_named() {
        let error = start(Some(Path::new("/nonexistent/settled")), &std::env::temp_dir()).unwrap_err();
        assert!(error.to_string().contains("--settled"), "{error}");
    }
}
