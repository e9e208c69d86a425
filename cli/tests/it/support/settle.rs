//! `settle` itself, run to its end.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::cluster::Node;
use super::programs;

/// `settle` with the addresses of a node in its environment.
pub(crate) struct Settle {
    api: String,
    admin: String,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    /// Standard error.
    pub(crate) said: String,
}

impl Settle {
    /// Asks this node.
    pub(crate) fn of(node: &Node) -> Self {
        Self::at(node.api, node.admin)
    }

    /// Asks at these addresses.
    pub(crate) fn at(api: SocketAddr, admin: SocketAddr) -> Self {
        Self { api: format!("http://{api}"), admin: format!("http://{admin}") }
    }

    /// The command, not started yet.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(programs::ours("settle"));
        command.args(arguments).env("SETTLE_API", &self.api).env("SETTLE_ADMIN", &self.admin);
        command
    }

    /// Runs it without input.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ended {
        self.run_with(arguments, b"")
    }

    /// Runs it with this on its standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // It may end without having read all.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().unwrap()
        });
        let said = String::from_utf8(output.stderr).unwrap();
        Ended { code: output.status.code(), out: output.stdout, said }
    }

    /// Runs it, expects that all goes well and nothing is complained of; its output.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Vec<u8> {
        self.run(arguments).well()
    }

    /// As [`Self::ok`], where the output is a document.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Value {
        let out = self.ok(arguments);
        serde_json::from_slice(&out)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }
}

impl Ended {
    /// The output of a run that went well.
    pub(crate) fn well(self) -> Vec<u8> {
        assert_eq!((self.code, self.said.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }

    /// Panics unless it failed with this exit code, saying all of these.
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for part in parts {
            assert!(self.said.contains(part), "no {part:?} in: {}", self.said);
        }
    }

    /// The output, as text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.out).unwrap()
    }
}
