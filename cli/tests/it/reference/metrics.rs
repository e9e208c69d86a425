//! `docs/metrics.md`: every metric of both programs, from live pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::compare;
use crate::support::cluster::Cluster;
use crate::support::exposition::{Family, parse};
use crate::support::{eventually, files, http};

const PATH: &str = "docs/metrics.md";

const INTRODUCTION: &str = "\
# Metrics

Every metric of both programs, as their `/metrics` pages describe them. `make docs` writes this file;
a test compares it with the pages of a running cluster. Dashboards and alerts rely on these names.

Times are in seconds, sizes in bytes. A gauge that is not yet measured is NaN. `peer` is a node's name;
series of a node that left the cluster are dropped.
";

/// Labels whose values are names that users choose, or versions.
const OPEN: [&str; 4] = ["bucket", "peer", "revision", "version"];

/// Labels with a fixed set of values. A key or a client in a label would grow without end.
const CLOSED: [&str; 13] = [
    "direction",
    "guarantee",
    "level",
    "mode",
    "objective",
    "op",
    "outcome",
    "program",
    "reason",
    "resolution",
    "result",
    "state",
    "unit",
];

/// What to ask first, and to alert on first, must be there to be asked.
#[test]
fn the_metrics_in_the_readme_exist() {
    let (readme, documented) = (files::text("README.md"), documented(&files::text(PATH)));
    let blocks: String =
        readme.split("```promql").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let asked: Vec<&str> = blocks
        .split(|character: char| !character.is_ascii_lowercase() && character != '_')
        .filter(|word| word.starts_with("settle_"))
        .collect();
    assert_eq!(asked.first(), Some(&"settle_probe_target_up"), "the first alert to have comes first");
    for name in asked {
        assert!(documented.keys().any(|(_, known)| known == name), "{name} is in no table of {PATH}");
    }
}

#[test]
fn the_metrics_are_those_of_the_pages() {
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        use_every_operation(node.api);
    }
    let documented = documented(&files::text_if_there(PATH));
    let mut text = INTRODUCTION.to_owned();
    for (program, address) in [("settled", cluster.nodes[0].admin), ("settle-sidecar", cluster.sidecar)] {
        let page = eventually("every metric has a series", || complete_page(address));
        write!(text, "\n## {program}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n").unwrap();
        for (name, family) in &page {
            let before = documented.get(&(program.to_owned(), name.clone()));
            text += &row(name, family, before.unwrap_or(&BTreeMap::new()));
        }
    }
    compare(PATH, &text);
}

/// Every call at every level, so that every combination of labels that a client can bring about exists.
fn use_every_operation(api: SocketAddr) {
    for level in ["one", "quorum", "all"] {
        http::put(api, &format!("/v1/kv/default/a?level={level}"), "1").unwrap();
        for method in ["GET", "DELETE"] {
            http::request(method, api, &format!("/v1/kv/default/a?level={level}")).unwrap();
        }
    }
    http::request("GET", api, "/v1/kv/default/a?replica=self").unwrap();
    http::get(api, "/v1/keys/default").unwrap();
}

fn complete_page(address: SocketAddr) -> Result<BTreeMap<String, Family>, String> {
    let page = parse(&http::get(address, "/metrics")?);
    let empty: Vec<&String> =
        page.iter().filter(|(_, family)| family.samples == 0).map(|(name, _)| name).collect();
    if empty.is_empty() { Ok(page) } else { Err(format!("without a series: {empty:?}")) }
}

/// A line of the table. Values of labels that are documented stay, since not each is seen in every run.
fn row(name: &str, family: &Family, before: &Labels) -> String {
    assert!(!family.help.is_empty() && !family.kind.is_empty(), "{name} has no HELP or TYPE");
    let labels: Vec<String> = family
        .labels
        .iter()
        .map(|(label, seen)| {
            if OPEN.contains(&label.as_str()) {
                return format!("`{label}`");
            }
            assert!(CLOSED.contains(&label.as_str()), "{name} has an unknown label {label}");
            let values: BTreeSet<&String> =
                seen.iter().chain(before.get(label).into_iter().flatten()).collect();
            let values: Vec<&str> = values.into_iter().map(String::as_str).collect();
            format!("`{label}`: {}", values.join(", "))
        })
        .collect();
    format!("| `{name}` | {} | {} | {} |\n", family.kind, labels.join("; "), family.help.replace('|', "\\|"))
}

/// Label -> values.
type Labels = BTreeMap<String, BTreeSet<String>>;

/// The labels of every metric in the document, by program and name.
fn documented(text: &str) -> BTreeMap<(String, String), Labels> {
    let mut program = String::new();
    let mut all = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            program = title.to_owned();
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        if let [name, _, labels, ..] = cells.as_slice()
            && let Some(name) = name.strip_prefix("| `")
        {
            let name = name.trim_end_matches('`').to_owned();
            all.insert((program.clone(), name), labels.split("; ").filter_map(label).collect());
        }
    }
    all
}

fn label(text: &str) -> Option<(String, BTreeSet<String>)> {
    let (label, values) = text.split_once(": ")?;
    Some((label.trim_matches('`').to_owned(), values.split(", ").map(str::to_owned).collect()))
}
