//! One process under test: started with its log in a file, killed when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::eventually;

/// A running program. Dropping it kills it and waits for its end.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, whose output goes to `NAME.log` in `directory`. Variables of the caller that
    /// would override the configuration are not passed on.
    pub(crate) fn start(name: &str, command: &mut Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("SETTLE_") {
                command.env_remove(variable);
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", command.get_program()));
        Self { name: name.to_owned(), child, log }
    }

    /// Waits for the end; the exit code, or nothing when a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let what = format!("{} ends", self.name);
        eventually(&what, || self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())).code()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Ends it at once, without its knowing.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
    }

    /// Stops it where it stands, without its knowing: its connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(sent.success(), "{} cannot be sent SIG{name}", self.name);
    }

    /// What the program has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The first line of the log that `find` makes something of. Panics when the program ends before.
    pub(crate) fn said<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let what = format!("{} says {what}", self.name);
        eventually(&what, || {
            // Looked at before the log, so that the last words of one that ends are not missed.
            let ended = self.child.try_wait().unwrap();
            let log = self.log();
            let found = log.lines().find_map(&find);
            assert!(found.is_some() || ended.is_none(), "{what}: it ended ({ended:?}):\n{log}");
            found.ok_or(log)
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("=== log of {}\n{}", self.name, self.log());
        }
    }
}
