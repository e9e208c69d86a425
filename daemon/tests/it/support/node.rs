//! One node: a process with a directory, a configuration and a log, which survive the process.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::configuration::Configuration;
use super::http::Client;
use super::metrics::Page;
use super::spawn::{close, spawn};
use super::wait::{PATIENCE, wait_for};

/// How much of a log is shown when a test fails.
const LINES_SHOWN: usize = 40;

/// A node. The process is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) api: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) configuration: Configuration,
    process: Option<Child>,
}

impl Node {
    /// A node that was never started, below `root`. It has a loopback address of its own, so that its ports stay free
    /// while it is down: other programs' connections leave from 127.0.0.1.
    pub(crate) fn new(root: &Path, name: &str) -> Self {
        let directory = root.join(name);
        fs::create_dir_all(&directory).unwrap();
        let [api, peer, admin] = free_ports(own_loopback());
        let mut configuration = Configuration::default();
        configuration
            .text("node.name", name)
            .text("node.data_dir", directory.join("data").to_str().unwrap())
            .text("listen.api", &api.to_string())
            .text("listen.peer", &peer.to_string())
            .text("listen.admin", &admin.to_string());
        Self { name: name.to_owned(), directory, api, peer, admin, configuration, process: None }
    }

    /// A node that is a cluster by itself, not started.
    pub(crate) fn single(root: &Path, name: &str) -> Self {
        let mut node = Self::new(root, name);
        node.configuration.literal("cluster.expect", "1");
        node
    }

    pub(crate) fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn configuration_file(&self) -> PathBuf {
        self.directory.join("settled.toml")
    }

    /// Writes the configuration file; a running process may notice.
    pub(crate) fn write_configuration(&self) {
        // Replaced as a whole, as editors do.
        let new = self.directory.join("settled.toml.new");
        fs::write(&new, self.configuration.render()).unwrap();
        fs::rename(new, self.configuration_file()).unwrap();
    }

    /// Starts the process, without waiting for anything.
    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.write_configuration();
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_settled"));
        command.arg("--config").arg(self.configuration_file());
        // Variables named SETTLE_... would change the configuration.
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(spawn(&mut command));
    }

    /// Starts the process and waits until it answers clients.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_answering();
    }

    /// Starts the process and waits until it is ready.
    pub(crate) fn start_ready(&mut self) {
        self.start();
        wait_for(&format!("{} is ready", self.name), PATIENCE, || {
            (self.admin().get("/readyz").status == 200).then_some(())
        });
    }

    pub(crate) fn wait_answering(&mut self) {
        let what = format!("{} answers", self.name);
        wait_for(&what, PATIENCE, || {
            if let Some(status) = self.exited() {
                panic!("{} ended with {status} instead of answering", self.name);
            }
            Client::new(self.admin).call("GET", "/healthz", &[], b"").ok()
        });
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// How the process ended, if it has.
    fn exited(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(|process| process.try_wait().unwrap())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running process");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("a running process");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let status = wait_for(&format!("{} ends", self.name), deadline, || self.exited());
        self.process = None;
        status
    }

    /// SIGTERM, and the end with code 0.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait_exit(PATIENCE).code(), Some(0), "{} ended badly", self.name);
    }

    /// Starts a process that must refuse to run; returns what it said.
    #[track_caller]
    pub(crate) fn refused(&mut self) -> String {
        let before = self.log().len();
        self.spawn();
        let status = self.wait_exit(PATIENCE);
        let said = self.log().split_off(before);
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// All that the node's processes have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits for a line in the log that comes after its first `from` bytes.
    pub(crate) fn wait_log(&self, from: usize, text: &str) {
        wait_for(&format!("{} logs {text:?}", self.name), PATIENCE, || {
            self.log().get(from..).is_some_and(|log| log.contains(text)).then_some(())
        });
    }

    /// A client of the API.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.api)
    }

    /// A client of the admin calls.
    pub(crate) fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    /// Its metrics now.
    pub(crate) fn metrics(&self) -> Page {
        Page(self.admin().get("/metrics").expect(200).text())
    }

    /// What `/v1/members` says of another node.
    pub(crate) fn member(&self, name: &str) -> Option<Value> {
        let page = self.admin().get("/v1/members").expect(200).json();
        page["members"].as_array().unwrap().iter().find(|member| member["name"] == name).cloned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            if let Ok(Some(status)) = process.try_wait() {
                println!("--- {} had ended with {status}", self.name);
            }
            drop(process.kill());
            drop(process.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines.len().saturating_sub(LINES_SHOWN);
            println!("--- the end of {}'s log\n{}", self.name, lines[shown..].join("\n"));
        }
    }
}

/// A loopback address that no other node of this run has, and hardly one of another run.
fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, high, low, _] = std::process::id().wrapping_mul(0x9e37_79b1).to_le_bytes();
    let [number, more, ..] = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    Ipv4Addr::new(127, (high & 0x7f) + 1, low ^ more, number)
}

/// Three different ports that are free.
fn free_ports(host: Ipv4Addr) -> [SocketAddr; 3] {
    // All are held until all are known.
    let sockets = [(); 3].map(|()| TcpListener::bind((host, 0)).unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    close(sockets);
    addresses
}

/// Copies a directory and everything below it.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes one byte of a file.
pub(crate) fn flip_byte(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x55;
    File::create(file).and_then(|mut file| std::io::Write::write_all(&mut file, &bytes)).unwrap();
}
