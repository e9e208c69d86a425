//! Server processes of the demo and the benchmark: started with their output in a file, killed when
//! dropped; and what starting several of them on one machine takes.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::random::Random;

/// How much of a log to show when its process died.
const TAIL_LINES: usize = 12;

/// The lowest port to take: below are the well-known ones.
const PORT_MIN: u16 = 10_240;

/// A running server. Dropping it kills the process and waits for its end: its data is temporary.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts the command, appending both its outputs to `NAME.log` inside the directory. It gets a
    /// process group of its own: a Ctrl-C in the terminal is for this program, which then decides.
    pub(crate) fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output: File = output.with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        let program = command.get_program().to_owned();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The name it was started under.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the last lines of its log when the process has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("cannot look after a server process")? else {
            return Ok(());
        };
        bail!("{} ended by itself ({status}); its last words:\n{}", self.name, self.last_words());
    }

    /// Whether the process has ended, for whatever reason.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("cannot look after a server process")?.is_some())
    }

    /// Sends a signal, unless the process has ended and its number may belong to another.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.with_context(|| format!("{} has no valid process id", self.name))?;
        kill_process(id, signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// Kills the process and waits for its end.
    pub(crate) fn kill(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        lines.into_iter().skip(skipped).map(|line| format!("  {line}\n")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program of this name beside this one: built together, run together.
pub(crate) fn beside(program: &str) -> Result<PathBuf> {
    let path =
        std::env::current_exe().context("cannot tell where this program lies")?.with_file_name(program);
    if !path.is_file() {
        bail!("{} does not exist; build all programs first: cargo build --release", path.display());
    }
    Ok(path)
}

/// Variables such as `ETCD_NAME` or `SETTLE_NODE__NAME` would override what the caller sets.
pub(crate) fn forget_environment(command: &mut Command, prefix: &str) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(prefix) {
            command.env_remove(name);
        }
    }
}

/// Loopback addresses whose ports are free for TCP and UDP. All are held until the last is found, so
/// they differ; another process may still take one before its server does, which then says so.
///
/// They lie below the range that the system hands out to outgoing connections: otherwise the port of
/// a server that restarts could be taken meanwhile, even by a peer that tries to reach it.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    const ATTEMPTS: usize = 500;
    let mut random = Random::from_entropy();
    let above = ephemeral_ports_begin().max(PORT_MIN + 1) - PORT_MIN;
    let mut held = Vec::new();
    for _ in 0..count + ATTEMPTS {
        if held.len() == count {
            break;
        }
        let port = u16::try_from(random.below(u32::from(above))).unwrap_or(0) + PORT_MIN;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let (Ok(listener), Ok(socket)) = (TcpListener::bind(address), UdpSocket::bind(address)) {
            held.push((address, listener, socket));
        }
    }
    if held.len() < count {
        bail!("found no {count} ports on loopback that are free for both TCP and UDP");
    }
    Ok(held.into_iter().map(|(address, _, _)| address).collect())
}

/// The first port for outgoing connections; Linux's default where it cannot be read.
fn ephemeral_ports_begin() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(directory: &Path) -> Server {
        let mut command = Command::new("sleep");
        command.arg("1000");
        Server::start("sleeper", command, directory).unwrap()
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_dropped_server_is_dead_and_an_ended_one_is_reported_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut server = sleeper(directory.path());
        server.check_running().unwrap();
        let pid = server.id();
        drop(server);
        assert!(!is_alive(pid));

        let mut failing = Command::new("sh");
        failing.args(["-c", "echo port taken >&2; exit 3"]);
        let mut server = Server::start("failing", failing, directory.path()).unwrap();
        server.child.wait().unwrap();
        assert!(server.has_ended().unwrap());
        let error = server.check_running().unwrap_err().to_string();
        assert!(error.contains("failing ended") && error.contains("port taken"), "{error}");
    }

    #[test]
    fn a_stopped_server_dies_with_its_owner_also_when_that_panics() {
        let directory = tempfile::tempdir().unwrap();
        let mut server = sleeper(directory.path());
        let pid = server.id();
        let outcome = std::panic::catch_unwind(move || {
            server.signal(Signal::STOP).unwrap();
            panic!("with a stopped server");
        });
        assert!(outcome.is_err());
        assert!(!is_alive(pid));
    }

    #[test]
    fn addresses_differ_and_are_kept_from_outgoing_connections() {
        let addresses = free_addresses(9).unwrap();
        let distinct: std::collections::BTreeSet<_> = addresses.iter().collect();
        assert_eq!(distinct.len(), 9);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        let end = ephemeral_ports_begin().max(PORT_MIN + 1);
        assert!(addresses.iter().all(|address| (PORT_MIN..end).contains(&address.port())));
    }
}
