//! `docs/configuration.md`: every key of both programs, from what `--print-default-config` prints.

use std::fmt::Write as _;
use std::process::Command;

use super::compare;
use crate::support::{files, programs};

const INTRODUCTION: &str = "\
# Configuration

Every key of both programs, as `--print-default-config` prints them. `make docs` writes this file;
a test compares it with the programs.

Files are TOML or YAML, told by their extension (`.toml`, `.yaml`, `.yml`). An environment variable
`SETTLE_<SECTION>__<KEY>` overrides the file: `SETTLE_NODE__NAME=n1` sets `name` in `[node]`. Variables
without the double underscore are ignored. There, a list has commas between its entries
(`SETTLE_CLUSTER__SEEDS=a:7401,b:7401`) or is written as in a file (`[\"a:7401\", \"b:7401\"]`). Durations are
texts such as `\"250ms\"`, sizes such as `\"64MiB\"`. An unknown key is an error that names the nearest known
one, and all errors of a file are reported at once; `--check-config` reports them without starting.

A changed file is loaded by itself, on `SIGHUP`, and on `POST /-/reload`. A file with an error, or one
that changes something that only a restart can change, is refused with the reason, and the running
configuration stays. Only a restart changes: who the process is and where it listens (`[node]`,
`[listen]`, `[advertise]`, `[cluster]`, `[target]`, `probe.name`), `storage.cache`, the buckets, and
where traces go.
";

#[test]
fn the_keys_are_those_of_the_programs() {
    let mut text = INTRODUCTION.to_owned();
    for program in ["settled", "settle-sidecar"] {
        write!(text, "\n## {program}\n").unwrap();
        text += &tables(&default_configuration(program));
    }
    compare("docs/configuration.md", &text);
}

/// Whoever gives one program the other's file is told so, for every key of it.
#[test]
fn the_keys_of_the_other_program_are_called_that() {
    for (program, other) in [("settled", "settle-sidecar"), ("settle-sidecar", "settled")] {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        // What has no default is commented out.
        std::fs::write(file.path(), default_configuration(other).replace("\n# name =", "\nname =")).unwrap();
        let output = Command::new(programs::ours(program))
            .args(["--check-config", "--config"])
            .arg(file.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let (told, untold): (Vec<&str>, Vec<&str>) = said
            .lines()
            .filter(|line| line.contains("unknown"))
            .partition(|line| line.contains(&format!("it belongs to {other}")));
        assert!(told.len() > 3 && untold.is_empty(), "{program}: {said}");
    }
}

/// A block of TOML in the README opens with a comment that names its program.
#[test]
fn the_examples_in_the_readme_are_valid() {
    let readme = files::text("README.md");
    let blocks = readme.split("```toml\n# ").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut checked = 0;
    for (block, _) in blocks {
        let (program, configuration) = block.split_once('\n').unwrap();
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), configuration).unwrap();
        // What the text around the example sets by the environment.
        let environment: &[(&str, &str)] = match program {
            "settled" => &[
                ("SETTLE_NODE__NAME", "n1"),
                ("SETTLE_NODE__DATA_DIR", "data/n1"),
                ("SETTLE_LISTEN__PEER", "127.0.0.1:7511"),
            ],
            _ => &[],
        };
        let output = Command::new(programs::ours(program))
            .args(["--check-config", "--config"])
            .arg(file.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{configuration}\n{}", String::from_utf8_lossy(&output.stderr));
        checked += 1;
    }
    assert_eq!(
        (checked, readme.matches("```toml").count()),
        (2, 2),
        "blocks checked, and blocks in the README"
    );
}

fn default_configuration(program: &str) -> String {
    let output = Command::new(programs::ours(program)).arg("--print-default-config").output().unwrap();
    assert!(output.status.success(), "{program} --print-default-config failed");
    String::from_utf8(output.stdout).unwrap()
}

/// One table per section, from lines of the forms `[section]`, `# meaning`, `key = default` and, for a
/// key without a default, `# key = example`. A section that may be repeated is commented out as a whole.
fn tables(configuration: &str) -> String {
    let mut text = String::new();
    let mut meaning = "";
    let mut indent = "";
    for line in configuration.lines() {
        if let Some(section) = line.strip_prefix("# [[").and_then(|rest| rest.strip_suffix("]]")) {
            indent = "# ";
            write!(text, "\n### [[{section}]]\n\n{meaning}\n\n{HEAD}").unwrap();
        } else if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            write!(text, "\n### [{section}]\n\n{HEAD}").unwrap();
        } else {
            let line = line.strip_prefix(indent).unwrap_or(line);
            match key_line(line.trim_start_matches("# ")) {
                Some((key, value)) => {
                    let example = if line.starts_with('#') { "none; for example " } else { "" };
                    writeln!(text, "| `{key}` | {example}`{value}` | {} |", meaning.replace('|', "\\|"))
                        .unwrap();
                }
                None => meaning = line.trim_start_matches("# "),
            }
        }
    }
    assert!(text.contains("| `log` |"), "keys were not understood:\n{configuration}");
    text
}

const HEAD: &str = "| key | default | meaning |\n|---|---|---|\n";

fn key_line(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    key.chars()
        .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
        .then_some((key, value))
}
