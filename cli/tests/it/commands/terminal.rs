//! On a terminal: a newline behind a value, and headings in bold unless that is not wanted.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::cluster::Replicas;
use crate::support::settle::Settle;

/// What a terminal shows of the command's standard output.
fn shown(settle: &Settle, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = settle.command(arguments);
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(terminal).spawn().unwrap();
    // Gives its copy of the terminal back, so that the output has an end.
    drop(command);
    let mut text = Vec::new();
    // The end of a terminal is an error to read.
    let _end = File::from(controller).read_to_end(&mut text);
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap()
}

#[test]
fn values_end_with_a_newline_and_headings_are_bold() {
    let replicas = Replicas::start(1);
    let settle = Settle::of(&replicas.nodes[0]);
    settle.ok(&["put", "k", "v"]);
    settle.ok(&["put", "line", "v\n"]);
    // A terminal shows a newline as two characters.
    assert_eq!(shown(&settle, &["get", "k"], &[]), "v\r\n");
    assert_eq!(shown(&settle, &["get", "line"], &[]), "v\r\n");
    assert!(shown(&settle, &["status"], &[]).starts_with("\u{1b}[1mn1 is ready\u{1b}[0m\r\n"));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert!(shown(&settle, &["status"], &[plain]).starts_with("n1 is ready\r\n"), "{plain:?}");
    }
}
