//! One server process: started with its output in a file, killed when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::usage;

/// How much of a log to show when its process died.
const TAIL_LINES: usize = 12;

/// A running server. Dropping it kills the process and waits for its end: its data is temporary.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts the command with both its outputs in `NAME.log` inside the directory.
    pub(super) fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// An error with the last lines of its log when the process has ended.
    pub(super) fn check_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("cannot look after a server process")? else {
            return Ok(());
        };
        bail!("{} ended by itself ({status}); its last words:\n{}", self.name, self.last_words());
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        lines.into_iter().skip(skipped).map(|line| format!("  {line}\n")).collect()
    }

    /// CPU time used since it started.
    pub(super) fn cpu(&self) -> Result<Duration> {
        usage::of_process(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_server_is_dead_and_an_ended_one_is_reported_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut sleeper = Command::new("sleep");
        sleeper.arg("1000");
        let mut server = Server::start("sleeper", sleeper, directory.path()).unwrap();
        server.check_running().unwrap();
        let pid = server.child.id();
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());

        let mut failing = Command::new("sh");
        failing.args(["-c", "echo port taken >&2; exit 3"]);
        let mut server = Server::start("failing", failing, directory.path()).unwrap();
        server.child.wait().unwrap();
        let error = server.check_running().unwrap_err().to_string();
        assert!(error.contains("failing ended") && error.contains("port taken"), "{error}");
    }
}
