//! Prints the known keys as a commented TOML file that loads as the default configuration.

use std::fmt::Write as _;

use super::reader::{Key, Shown};

/// The whole file, sections in the order in which they were first read.
pub(crate) fn render(keys: &[Key]) -> String {
    let mut sections: Vec<&str> = Vec::new();
    for key in keys.iter().filter(|key| !is_tables(key)) {
        let section = split(&key.name).0;
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    // Keys of no section must come first: in TOML they cannot follow one.
    sections.sort_by_key(|section| !section.is_empty());
    let mut out = String::new();
    for section in sections {
        if !section.is_empty() {
            let gap = if out.is_empty() { "" } else { "\n" };
            push(&mut out, format_args!("{gap}[{section}]"));
        }
        keys.iter()
            .filter(|key| !is_tables(key) && split(&key.name).0 == section)
            .for_each(|key| one(&mut out, key, ""));
    }
    for key in keys {
        if let Shown::Tables(inner) = &key.shown {
            push(&mut out, format_args!("\n# {}\n# [[{}]]", key.doc, key.name));
            inner.iter().for_each(|key| one(&mut out, key, "# "));
        }
    }
    out
}

fn one(out: &mut String, key: &Key, indent: &str) {
    let name = split(&key.name).1;
    push(out, format_args!("{indent}# {}", key.doc));
    match &key.shown {
        Shown::Default(value) => push(out, format_args!("{indent}{name} = {value}")),
        Shown::Example(value) => push(out, format_args!("{indent}# {name} = {value}")),
        Shown::Tables(_) => push(out, format_args!("{indent}# {name} = []")),
    }
}

/// Writing into a `String` cannot fail.
fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(out, "{line}");
}

fn is_tables(key: &Key) -> bool {
    matches!(key.shown, Shown::Tables(_))
}

/// `("a.b", "c")` for `a.b.c`.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}
