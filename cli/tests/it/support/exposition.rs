//! A /metrics page taken apart: families with their help, type and the labels of their series.

use std::collections::{BTreeMap, BTreeSet};

/// One family of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub(crate) kind: String,
    /// The text of HELP, as it stands on the page.
    pub(crate) help: String,
    /// Label names, without `le` and `quantile`, with every value seen.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
    /// Lines with a value.
    pub(crate) samples: usize,
}

/// The families of a page, by name. Panics on a line that it does not understand.
pub(crate) fn parse(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            sample(line, &mut families);
        }
    }
    families
}

/// The value of one series, written as on the page; nothing when the page has no such series.
pub(crate) fn value(page: &str, series: &str) -> Option<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().unwrap_or_else(|_| panic!("{series}: no number: {value}")))
}

fn sample(line: &str, families: &mut BTreeMap<String, Family>) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    assert!(value.parse::<f64>().is_ok() || matches!(value, "NaN" | "+Inf" | "-Inf"), "no number: {line}");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let family =
        family_of(name, families).unwrap_or_else(|| panic!("a series without HELP and TYPE: {line}"));
    let family = families.get_mut(&family).unwrap();
    family.samples += 1;
    for pair in labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
        let (label, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label value: {line}"));
        if !matches!(label, "le" | "quantile") {
            family.labels.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
}

fn family_of(name: &str, families: &BTreeMap<String, Family>) -> Option<String> {
    let suffixes = ["", "_bucket", "_sum", "_count"];
    let mut stems = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
    stems.find(|stem| families.contains_key(*stem)).map(str::to_owned)
}
