//! The arrows between the crates, as daemon/README.md draws them, and what must stay out of which crate.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::support::files;

/// What each crate may depend on, of ours: in the programs, and further in tests only.
const ALLOWED: [(&str, &[&str], &[&str]); 8] = [
    ("settle-core", &[], &[]),
    ("settle-store", &["settle-core"], &[]),
    ("settle-wire", &["settle-core"], &[]),
    ("settle-service", &[], &[]),
    ("settle-sim", &["settle-core", "settle-store", "settle-wire"], &[]),
    ("settle-daemon", &["settle-core", "settle-store", "settle-wire", "settle-service"], &["settle-sim"]),
    ("settle-sidecar", &["settle-wire", "settle-service"], &["settle-daemon"]),
    ("settle", &["settle-daemon", "settle-sidecar", "settle-wire", "settle-service"], &[]),
];

/// What must not be in a crate's tree, not even through others. The kernel is a function of its
/// arguments; store and wire report to their callers, who count.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    ("settle-core", &["tokio", "hyper", "prometheus", "rand"]),
    ("settle-store", &["settle-service", "prometheus", "tokio"]),
    ("settle-wire", &["settle-service", "prometheus"]),
];

/// The programs that are shipped.
const SHIPPED: [&str; 3] = ["settle-daemon", "settle-sidecar", "settle"];

/// A crate's direct dependencies: of its programs, and of its tests only.
#[derive(Default)]
struct Direct {
    normal: BTreeSet<String>,
    dev: BTreeSet<String>,
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let direct = direct();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(name, ..)| *name).collect();
    let found: BTreeSet<&str> = direct.keys().map(String::as_str).collect();
    assert_eq!(found, known, "the crates of the workspace, and those whose arrows are known here");
    let mut wrong = Vec::new();
    for (name, normal, dev) in ALLOWED {
        let ours = |names: &BTreeSet<String>| -> Vec<String> {
            names.iter().filter(|name| known.contains(name.as_str())).cloned().collect()
        };
        for dependency in ours(&direct[name].normal) {
            if !normal.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
        for dependency in ours(&direct[name].dev) {
            if !normal.contains(&dependency.as_str()) && !dev.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency} (in tests)"));
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden arrows: {wrong:?}");
}

#[test]
fn what_must_stay_out_of_a_crate_is_not_in_its_tree() {
    for (name, forbidden) in FORBIDDEN {
        let tree = tree(&["-p", name, "-e", "normal,build"]);
        assert!(tree.contains(name), "no tree of {name}: {tree:?}");
        let found: Vec<&&str> = forbidden.iter().filter(|one| tree.contains(**one)).collect();
        assert!(found.is_empty(), "{name} has {found:?} in its tree; see: cargo tree -p {name}");
    }
}

/// The simulator switches bugs on in the kernel; what is shipped must not even contain them.
#[test]
fn no_shipped_program_has_the_planted_bugs() {
    let planted = "settle_core [plant]";
    assert_eq!(kernel(&["-p", "settle-sim"]), [planted], "the simulator's kernel: is this test blind?");
    for package in SHIPPED {
        assert_eq!(
            kernel(&["-p", package]),
            ["settle_core []"],
            "the kernel of {package}, with its features"
        );
    }
    let together: Vec<&str> = SHIPPED.iter().flat_map(|package| ["-p", package]).collect();
    assert_eq!(kernel(&together), ["settle_core []"], "the kernel when all are built at once");
}

/// Every form in which the kernel is in a tree: its name and its features.
fn kernel(packages: &[&str]) -> Vec<String> {
    let text = output(
        &[&["tree", "--prefix", "none", "-e", "normal,build", "-f", "{lib} [{f}]"], packages].concat(),
    );
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
    let forms: BTreeSet<String> = lines.filter(|line| line.starts_with("settle_core ")).collect();
    forms.into_iter().collect()
}

fn direct() -> BTreeMap<String, Direct> {
    let text = output(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let mut all = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut direct = Direct::default();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().to_owned();
            let dev = dependency["kind"] == "dev";
            if dev {
                direct.dev.insert(name)
            } else {
                direct.normal.insert(name)
            };
        }
        all.insert(package["name"].as_str().unwrap().to_owned(), direct);
    }
    all
}

/// The names of all crates in a tree.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let text = output(&[&["tree", "--prefix", "none", "-f", "{p}"], arguments].concat());
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn output(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What is not downloaded by now was not needed to build this test.
    let command = Command::new(cargo)
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(files::root())
        .output();
    let output = command.unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
