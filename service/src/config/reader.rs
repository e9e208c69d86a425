//! Reads keys one by one, remembers what it was asked for, and collects every error.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use config::{Value, ValueKind};

use super::error::{ConfigError, ConfigErrors};
use super::parse::parse_size;
use super::source::{self, variable};
use super::unknown::{Known, find_unknown};
use super::value::{
    address, boolean, host_port, host_ports, in_range, integer, list, owned_text, positive_duration,
    positive_duration_text, quoted, quoted_list, ratio, size, tables, text,
};

/// The configuration, to be read key by key and then closed with [`Reader::finish`].
///
/// A key that is missing gives its default; a key that is wrong also gives its default and leaves an
/// error, so that reading goes on and all errors come out together. Doc lines and defaults end up in
/// [`Reader::default_config`].
#[derive(Debug)]
pub struct Reader {
    table: Value,
    /// The file, if there is one.
    file: Option<String>,
    /// What precedes a key in messages, `bucket[0].` inside a table of a list.
    prefix: String,
    pub(crate) keys: Vec<Key>,
    /// What another program reads, and its name.
    foreign: Foreign,
    errors: Vec<ConfigError>,
}

/// Another program's name, and sections and keys of its configuration that this program does not know.
pub(crate) type Foreign = (&'static str, &'static [&'static str]);

/// A key that the program asked for.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) doc: &'static str,
    pub(crate) shown: Shown,
}

/// How a key appears in the printed default configuration.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Set, with this TOML value.
    Default(String),
    /// Commented out, with this TOML value as an example.
    Example(String),
    /// A commented-out `[[key]]` with these keys.
    Tables(Vec<Key>),
}

// === impl Reader ===

impl Reader {
    /// Reads the file, if any, and lays the environment over it. Fails when the file cannot be read
    /// or parsed; wrong values and unknown keys are reported by [`Reader::finish`].
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let table = source::load(path, env)?;
        Ok(Self::over(table, path.map(|path| path.display().to_string()), String::new()))
    }

    /// A reader over nothing: every key has its default.
    pub fn empty() -> Self {
        Self::over(Value::new(None, ValueKind::Table(config::Map::new())), None, String::new())
    }

    fn over(table: Value, file: Option<String>, prefix: String) -> Self {
        Self { table, file, prefix, keys: Vec::new(), foreign: ("", &[]), errors: Vec::new() }
    }

    /// A duration above zero. `default` is written as in a file: `"100ms"`.
    pub fn duration(&mut self, key: &str, default: &str, doc: &'static str) -> Duration {
        let found = self.read(key, doc, Shown::Default(quoted(default)), positive_duration);
        found.unwrap_or_else(|| self.checked(key, positive_duration_text(default), Duration::from_secs(1)))
    }

    /// A duration above zero that may be absent; `example` is shown in the default configuration.
    pub fn optional_duration(&mut self, key: &str, example: &str, doc: &'static str) -> Option<Duration> {
        self.read(key, doc, Shown::Example(quoted(example)), positive_duration)
    }

    /// A size in bytes. `default` is written as in a file: `"64MiB"`.
    pub fn size(&mut self, key: &str, default: &str, doc: &'static str) -> u64 {
        let found = self.read(key, doc, Shown::Default(quoted(default)), size);
        found.unwrap_or_else(|| self.checked(key, parse_size(default), 0))
    }

    /// Any text.
    pub fn string(&mut self, key: &str, default: &str, doc: &'static str) -> String {
        let found = self.read(key, doc, Shown::Default(quoted(default)), owned_text);
        found.unwrap_or_else(|| default.to_owned())
    }

    /// Text that may be absent.
    pub fn optional_string(&mut self, key: &str, example: &str, doc: &'static str) -> Option<String> {
        self.read(key, doc, Shown::Example(quoted(example)), owned_text)
    }

    /// Text that must be there; meant for the tables of [`Reader::tables`], since a configuration
    /// with such a key at its top has no working default.
    pub fn required_string(&mut self, key: &str, example: &str, doc: &'static str) -> String {
        self.optional_string(key, example, doc).unwrap_or_else(|| {
            // A value of the wrong type is there, and has its own error.
            if self.lookup(key).is_none() {
                let problem = match self.prefix.is_empty() {
                    true => format!("is required; set it in the file of --config, or by {}", variable(key)),
                    // No variable reaches into a list.
                    false => "is required".to_owned(),
                };
                self.reject(key, problem);
            }
            String::new()
        })
    }

    /// A whole number within `range`.
    pub fn integer(&mut self, key: &str, default: u64, range: RangeInclusive<u64>, doc: &'static str) -> u64 {
        let within = in_range(range);
        let found = self.read(key, doc, Shown::Default(default.to_string()), |value| integer(value, &within));
        found.unwrap_or_else(|| self.checked(key, within(default), default))
    }

    /// A whole number within `range` that may be absent.
    pub fn optional_integer(
        &mut self,
        key: &str,
        example: u64,
        range: RangeInclusive<u64>,
        doc: &'static str,
    ) -> Option<u64> {
        let within = in_range(range);
        self.read(key, doc, Shown::Example(example.to_string()), |value| integer(value, &within))
    }

    /// A number from 0 to 1.
    pub fn ratio(&mut self, key: &str, default: f64, doc: &'static str) -> f64 {
        let found = self.read(key, doc, Shown::Default(format!("{default:?}")), ratio);
        found.unwrap_or(default)
    }

    /// True or false.
    pub fn boolean(&mut self, key: &str, default: bool, doc: &'static str) -> bool {
        self.read(key, doc, Shown::Default(default.to_string()), boolean).unwrap_or(default)
    }

    /// A socket address such as `"127.0.0.1:7400"`; port 0 is any free port.
    pub fn address(&mut self, key: &str, default: &str, doc: &'static str) -> SocketAddr {
        let found = self.read(key, doc, Shown::Default(quoted(default)), |value| address(text(value)?));
        found.unwrap_or_else(|| self.checked(key, address(default), SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    /// `"host:port"` where the host may be a name, or absent.
    pub fn optional_host_port(&mut self, key: &str, example: &str, doc: &'static str) -> Option<String> {
        self.read(key, doc, Shown::Example(quoted(example)), |value| host_port(text(value)?))
    }

    /// A list of texts; in an environment variable separated by commas, or written as in a file.
    pub fn list(&mut self, key: &str, default: &[&str], doc: &'static str) -> Vec<String> {
        let found = self.read(key, doc, Shown::Default(quoted_list(default)), list);
        found.unwrap_or_else(|| default.iter().map(|&item| item.to_owned()).collect())
    }

    /// A list of `"host:port"`, written as for [`Reader::list`].
    pub fn host_ports(&mut self, key: &str, default: &[&str], doc: &'static str) -> Vec<String> {
        let found = self.read(key, doc, Shown::Default(quoted_list(default)), host_ports);
        found.unwrap_or_else(|| default.iter().map(|&item| item.to_owned()).collect())
    }

    /// One of a few words, each with what it stands for; `default` is one of them.
    pub fn choice<T: Clone + Default>(
        &mut self,
        key: &str,
        default: &str,
        of: &[(&str, T)],
        doc: &'static str,
    ) -> T {
        let pick = |word: &str| {
            let found = of.iter().find(|(name, _)| *name == word).map(|(_, meaning)| meaning.clone());
            let names = || of.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| format!("expected one of {}", names()))
        };
        let found = self.read(key, doc, Shown::Default(quoted(default)), |value| pick(text(value)?));
        found.unwrap_or_else(|| self.checked(key, pick(default), T::default()))
    }

    /// The tables of `[[key]]`, each read by `read` over a reader of its own.
    pub fn tables<T>(
        &mut self,
        key: &str,
        doc: &'static str,
        mut read: impl FnMut(&mut Reader) -> T,
    ) -> Vec<T> {
        // One round over nothing, to learn the keys also when the configuration has no such table.
        let mut sample = Reader::empty();
        read(&mut sample);
        let found = self.read(key, doc, Shown::Tables(sample.keys), tables).unwrap_or_default();
        let mut all = Vec::with_capacity(found.len());
        for (index, table) in found.into_iter().enumerate() {
            let mut reader = Self::over(table, self.file.clone(), format!("{}{key}[{index}].", self.prefix));
            all.push(read(&mut reader));
            reader.note_unknown();
            self.errors.append(&mut reader.errors);
        }
        all
    }

    /// Adds an error about `key`, for relations between keys. `problem` must not quote a secret.
    pub fn reject(&mut self, key: &str, problem: impl Display) {
        let from_env = self.lookup(key).is_some_and(|value| value.origin().is_some());
        let place = match &self.file {
            _ if from_env => variable(key),
            Some(file) => file.clone(),
            None => "without --config".to_owned(),
        };
        let key = format!("{}{key}", self.prefix);
        self.errors.push(ConfigError { place, key, problem: problem.to_string() });
    }

    /// Sections and keys (`section.key`) that `program` reads and this one does not, so that whoever mixes the two up is
    /// told so.
    pub fn belongs_to(&mut self, program: &'static str, names: &'static [&'static str]) {
        self.foreign = (program, names);
    }

    /// True when the configuration sets `key` itself.
    pub fn is_set(&self, key: &str) -> bool {
        self.lookup(key).is_some()
    }

    /// Every error found, and every key of the configuration that was never asked for.
    pub fn finish(mut self) -> Result<(), ConfigErrors> {
        self.note_unknown();
        if self.errors.is_empty() { Ok(()) } else { Err(ConfigErrors(self.errors)) }
    }

    /// The default configuration as commented TOML, once all keys have been read.
    pub fn default_config(&self) -> String {
        super::print::render(&self.keys)
    }

    fn read<T>(
        &mut self,
        key: &str,
        doc: &'static str,
        shown: Shown,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.keys.iter().any(|known| known.name == key) {
            self.keys.push(Key { name: key.to_owned(), doc, shown });
        }
        let parsed = parse(self.lookup(key)?);
        parsed.map_err(|problem| self.reject(key, problem)).ok()
    }

    /// The value of a built-in default; a wrong one is the program's fault and reported like any other.
    fn checked<T>(&mut self, key: &str, parsed: Result<T, String>, otherwise: T) -> T {
        parsed.unwrap_or_else(|problem| {
            self.reject(key, format!("built-in default: {problem}"));
            otherwise
        })
    }

    /// The value at a dotted key; one written as nothing (`key:` in YAML) counts as absent.
    fn lookup(&self, key: &str) -> Option<&Value> {
        let value = key.split('.').try_fold(&self.table, |value, segment| match &value.kind {
            ValueKind::Table(table) => table.get(segment),
            _ => None,
        })?;
        (value.kind != ValueKind::Nil).then_some(value)
    }

    fn note_unknown(&mut self) {
        let mut unknown = Vec::new();
        find_unknown(&self.table, "", Known { keys: &self.keys, foreign: self.foreign }, &mut unknown);
        unknown.sort();
        for (key, problem) in unknown {
            self.reject(&key, problem);
        }
    }
}
