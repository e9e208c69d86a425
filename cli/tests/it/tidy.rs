//! What the repository's files must look like. The lints see code; this sees files.
//!
//! Functions of more than 70 lines are refused by clippy (`too-many-lines-threshold`), not here.

use std::path::{Path, PathBuf};

use crate::support::files;

/// Lines of a source file: half of them within this, nine tenths within the next, none above the last.
const LINES_MEDIAN_MAX: usize = 150;
const LINES_P90_MAX: usize = 350;
const LINES_MAX: usize = 600;

/// The ratchet: files that are over 400 lines, with their length. An entry may shrink or go, never grow,
/// and none may be added.
const LONG: usize = 400;
const KNOWN_LONG: [(&str, usize); 0] = [];

#[test]
fn sources_are_short() {
    let mut lengths: Vec<(usize, PathBuf)> =
        sources().into_iter().map(|path| (files::text(&path).lines().count(), path)).collect();
    lengths.sort();
    let at = |percent: usize| lengths[(lengths.len() - 1) * percent / 100].0;
    let (longest, last) = lengths.last().unwrap();
    println!(
        "{} sources: median {} lines, p90 {}, longest {longest} ({})",
        lengths.len(),
        at(50),
        at(90),
        last.display()
    );
    assert!(at(50) <= LINES_MEDIAN_MAX, "the median source has {} lines, over {LINES_MEDIAN_MAX}", at(50));
    assert!(
        at(90) <= LINES_P90_MAX,
        "a tenth of the sources has over {} lines, more than {LINES_P90_MAX}",
        at(90)
    );
    assert!(*longest <= LINES_MAX, "{} has {longest} lines, over {LINES_MAX}", last.display());
    let long: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > LONG)
        .map(|(lines, path)| format!("{}: {lines}", path.display()))
        .collect();
    let known: Vec<String> = KNOWN_LONG.iter().map(|(path, lines)| format!("{path}: {lines}")).collect();
    assert_eq!(
        long, known,
        "sources over {LONG} lines, and those that are known; split the new, strike the shortened"
    );
}

#[test]
fn every_source_says_what_it_is_for() {
    let silent: Vec<PathBuf> =
        sources().into_iter().filter(|path| !files::text(path).starts_with("//! ")).collect();
    assert!(silent.is_empty(), "no //! at the top: {silent:?}");
}

#[test]
fn modules_are_named_by_their_file() {
    let nameless: Vec<PathBuf> = sources().into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(nameless.is_empty(), "foo/mod.rs is to be foo.rs: {nameless:?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not contain them.
    let words =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimplemented", "!("], ["#[ign", "ore"]];
    refuse(&sources(), &words.map(|parts| parts.concat()));
}

/// Paths of one machine work nowhere else; nor do addresses of package registries belong into a project.
#[test]
fn nothing_names_a_machine_or_a_registry() {
    let places = ["/ro", "/wo", "/tmp/pl", "/fa"].into_iter().zip(["ot/", "rk/", "an", "rm/"]);
    let hosts = ["crates", "pypi", "registry.npmjs", "proxy.golang", "deb.debian", "maven.apache"];
    let hosts = hosts.into_iter().zip([".io", ".org", ".org", ".org", ".org", ".org"]);
    let words: Vec<String> = places.chain(hosts).map(|(first, second)| format!("{first}{second}")).collect();
    // cargo itself writes the name of its index into its lock files.
    let paths = files::ending_with("").into_iter().filter(|path| !path.ends_with("Cargo.lock"));
    refuse(&paths.collect::<Vec<_>>(), &words);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files::ending_with(".md") {
        for target in links(&files::text(&path)) {
            if !leads_somewhere(&path, &target) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

fn sources() -> Vec<PathBuf> {
    files::ending_with(".rs")
}

/// Panics with file and line of every place where one of the words stands.
fn refuse(paths: &[PathBuf], words: &[String]) {
    let mut found = Vec::new();
    for path in paths {
        let Some(text) = files::text_if_utf8(path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "not wanted here: {found:#?}");
}

/// The targets of `[text](target)` outside of code.
fn links(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in markdown.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        let ends = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
        found.extend(ends.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()));
    }
    found
}

fn leads_somewhere(from: &Path, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_owned() } else { from.parent().unwrap().join(file) };
    if !files::root().join(&path).exists() {
        return false;
    }
    anchor.is_empty()
        || files::text(&path).lines().any(|line| heading_anchor(line).as_deref() == Some(anchor))
}

/// The anchor of a heading: lower case, spaces as hyphens, other marks left out.
fn heading_anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept =
        title.chars().filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    Some(kept.map(|character| if character == ' ' { '-' } else { character.to_ascii_lowercase() }).collect())
}

#[test]
fn links_and_anchors_are_understood() {
    let text = "See [a](b.md#c-d) and [e](f).\n```\n[no](code)\n```\n";
    assert_eq!(links(text), ["b.md#c-d", "f"]);
    assert_eq!(heading_anchor("## What it `does`, now").as_deref(), Some("what-it-does-now"));
    assert!(!leads_somewhere(Path::new("README.md"), "no-such-file.md"));
}
