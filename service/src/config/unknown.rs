//! Keys of the configuration that nobody asked for.

use config::{Value, ValueKind};

use super::reader::{Foreign, Key};
use super::suggest::nearest;

/// What a program reads, and what another one does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) keys: &'a [Key],
    pub(crate) foreign: Foreign,
}

/// Walks the configuration and notes every key nobody asked for, with what to do about it.
pub(crate) fn find_unknown(value: &Value, path: &str, known: Known<'_>, unknown: &mut Vec<(String, String)>) {
    let keys = known.keys;
    let ValueKind::Table(table) = &value.kind else { return };
    for (segment, inner) in table {
        let key = if path.is_empty() { segment.clone() } else { format!("{path}.{segment}") };
        if keys.iter().any(|known| known.name == key) {
            continue;
        }
        let section = format!("{key}.");
        let is_section = keys.iter().any(|known| known.name.starts_with(&section));
        match &inner.kind {
            ValueKind::Table(_) if is_section || is_from_env(inner) => {
                find_unknown(inner, &key, known, unknown)
            }
            ValueKind::Nil if is_section => {}
            _ if is_section => unknown.push((key, "is a section, not a value".to_owned())),
            _ => {
                let problem = unknown_problem(&key, path, known, matches!(inner.kind, ValueKind::Table(_)));
                unknown.push((key, problem));
            }
        }
    }
}

/// True when all values below are from the environment: each then has a variable to name, while an
/// unknown section of a file is named once.
fn is_from_env(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Table(table) => !table.is_empty() && table.values().all(is_from_env),
        _ => value.origin().is_some(),
    }
}

fn unknown_problem(key: &str, section: &str, known: Known<'_>, is_table: bool) -> String {
    let Known { keys, foreign: (program, foreign) } = known;
    let names = keys.iter().map(|known| known.name.as_str());
    let what = if is_table { "section" } else { "key" };
    let is_of =
        |name: &&&str| key.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if foreign.iter().any(|name| is_of(&name)) {
        return format!(
            "unknown {what}: it belongs to {program}; give each program a configuration of its own"
        );
    }
    let near = if is_table {
        nearest(key, names.filter_map(|name| Some(name.rsplit_once('.')?.0)))
    } else {
        nearest(key, names)
    };
    if let Some(near) = near {
        return format!("unknown {what}; did you mean {near}?");
    }
    let prefix = format!("{section}.");
    let here: Vec<&str> = keys.iter().filter_map(|known| known.name.strip_prefix(&prefix)).collect();
    if here.is_empty() {
        format!("unknown {what}")
    } else {
        format!("unknown {what}; [{section}] has {}", here.join(", "))
    }
}
