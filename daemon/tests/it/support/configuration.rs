//! A node's configuration as a text to change and write again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The keys that are set, by section, and the buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configuration {
    sections: BTreeMap<String, BTreeMap<String, String>>,
    buckets: Vec<String>,
    /// Appended as it is.
    pub(crate) extra: String,
}

impl Configuration {
    /// Sets `section.key` to a text.
    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.literal(key, &format!("{value:?}"))
    }

    /// Sets `section.key` to a value as TOML writes it.
    pub(crate) fn literal(&mut self, key: &str, value: &str) -> &mut Self {
        let (section, key) = key.split_once('.').expect("section.key");
        self.sections.entry(section.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Declares a bucket.
    pub(crate) fn bucket(&mut self, name: &str, resolver: &str) -> &mut Self {
        self.buckets.push(format!("[[bucket]]\nname = {name:?}\nresolver = {resolver:?}\n"));
        self
    }

    /// The file.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        for (section, keys) in &self.sections {
            writeln!(out, "[{section}]").unwrap();
            for (key, value) in keys {
                writeln!(out, "{key} = {value}").unwrap();
            }
        }
        out + &self.buckets.concat() + &self.extra
    }
}
