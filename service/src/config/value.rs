//! From a value of the merged tree to a value of the program. Errors never show a text, but for addresses, which are no
//! secrets (see [`shown`]).

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Config, File, FileFormat, Value, ValueKind};

use super::parse::{parse_duration, parse_host_port, parse_size};

/// Says what was found, without showing a text: it may be a secret in the wrong place.
pub(crate) fn mismatch(expected: &str, value: &Value) -> String {
    let found = match &value.kind {
        ValueKind::Table(_) => "a section".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::String(_) => "a text".to_owned(),
        other => other.to_string(),
    };
    format!("expected {expected}, found {found}")
}

/// How much of an address is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// An address as errors show it. With an `@` it may hold a password.
pub fn shown(address: &str) -> String {
    if address.contains('@') {
        return "a text with an \"@\"".to_owned();
    }
    format!("{:?}", address.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

pub(crate) fn from_env(value: &Value) -> bool {
    value.origin().is_some()
}

pub(crate) fn text(value: &Value) -> Result<&str, String> {
    match &value.kind {
        ValueKind::String(text) => Ok(text),
        _ => Err(mismatch("a text in quotes", value)),
    }
}

pub(crate) fn owned_text(value: &Value) -> Result<String, String> {
    text(value).map(str::to_owned)
}

pub(crate) fn positive_duration(value: &Value) -> Result<Duration, String> {
    match &value.kind {
        ValueKind::String(text) => positive_duration_text(text),
        _ => Err(mismatch("a duration such as \"250ms\"", value)),
    }
}

pub(crate) fn positive_duration_text(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration.is_zero() { Err("must be above zero".to_owned()) } else { Ok(duration) }
}

pub(crate) fn size(value: &Value) -> Result<u64, String> {
    match &value.kind {
        ValueKind::String(text) => parse_size(text),
        ValueKind::I64(bytes) => {
            u64::try_from(*bytes).map_err(|_| mismatch("a size such as \"64MiB\"", value))
        }
        _ => Err(mismatch("a size such as \"64MiB\"", value)),
    }
}

pub(crate) fn in_range(range: RangeInclusive<u64>) -> impl Fn(u64) -> Result<u64, String> {
    move |number| {
        let (low, high) = (range.start(), range.end());
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(format!("{number} is not from {low} to {high}"))
        }
    }
}

pub(crate) fn integer(value: &Value, within: impl Fn(u64) -> Result<u64, String>) -> Result<u64, String> {
    let number = match &value.kind {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::U64(number) => Some(*number),
        ValueKind::String(text) if from_env(value) => text.parse().ok(),
        _ => None,
    };
    within(number.ok_or_else(|| mismatch("a whole number, zero or above", value))?)
}

pub(crate) fn ratio(value: &Value) -> Result<f64, String> {
    let number = match &value.kind {
        ValueKind::Float(number) => Some(*number),
        ValueKind::I64(0) => Some(0.0),
        ValueKind::I64(1) => Some(1.0),
        ValueKind::String(text) if from_env(value) => text.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| mismatch("a number from 0 to 1", value))
}

pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    match &value.kind {
        ValueKind::Boolean(truth) => Ok(*truth),
        ValueKind::String(text) if from_env(value) => {
            text.parse().map_err(|_| "expected true or false".to_owned())
        }
        _ => Err(mismatch("true or false", value)),
    }
}

pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and port such as \"127.0.0.1:7400\"".to_owned())
}

pub(crate) fn host_port(text: &str) -> Result<String, String> {
    parse_host_port(text).map(|_| text.to_owned()).map_err(|problem| format!("{}: {problem}", shown(text)))
}

/// A list of `"host:port"`; an error says which entry is wrong, counted from 1.
pub(crate) fn host_ports(value: &Value) -> Result<Vec<String>, String> {
    let entries = list(value)?;
    let checked = entries
        .iter()
        .zip(1..)
        .map(|(text, number)| host_port(text).map_err(|problem| format!("entry {number}, {problem}")));
    checked.collect()
}

pub(crate) fn list(value: &Value) -> Result<Vec<String>, String> {
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(owned_text).collect(),
        ValueKind::String(text) if from_env(value) && text.trim_start().starts_with('[') => array(text),
        ValueKind::String(text) if from_env(value) => {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        _ => Err(mismatch("a list of texts", value)),
    }
}

/// A list as TOML writes it, and JSON.
fn array(text: &str) -> Result<Vec<String>, String> {
    let expected = || "expected texts with commas between them (a, b), or a list ([\"a\", \"b\"])".to_owned();
    let file = File::from_str(&format!("list = {text}"), FileFormat::Toml);
    let read = Config::builder().add_source(file).build().map_err(|_| expected())?;
    // Anything but texts is refused as in a file.
    list(&read.get("list").map_err(|_| expected())?)
}

pub(crate) fn tables(value: &Value) -> Result<Vec<Value>, String> {
    let is_table = |item: &Value| matches!(item.kind, ValueKind::Table(_));
    match &value.kind {
        ValueKind::Array(items) if items.iter().all(is_table) => Ok(items.clone()),
        _ => Err(mismatch("a list of tables, which only a file can hold", value)),
    }
}

/// `text` as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(crate) fn quoted_list(items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}
