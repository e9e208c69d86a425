//! Documents whose members differ from one version of the daemon to the next, printed as they are.

use serde_json::{Map, Value};

use crate::terminal::{Line, harmless};

/// A line per member; then the lists, with a heading each and a line per element.
pub(super) fn lines(document: &Value) -> Vec<Line> {
    let members = match document {
        Value::Null => return Vec::new(),
        Value::Object(members) => members,
        _ => return vec![Line::plain(inline(document))],
    };
    let is_list =
        |value: &Value| value.as_array().is_some_and(|elements| elements.iter().any(Value::is_object));
    let (lists, members): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| is_list(value));
    let widest = members.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let row = |(name, value): &(&String, &Value)| {
        Line::plain(format!("{:<widest$}   {}", title(name), inline(value)))
    };
    let mut lines: Vec<Line> = members.iter().map(row).collect();
    for (name, value) in lists {
        lines.extend([Line::plain(""), Line::heading(title(name))]);
        let elements = value.as_array().into_iter().flatten();
        lines.extend(elements.map(|element| Line::plain(format!("  {}", inline(element)))));
    }
    lines
}

/// The members that are numbers, texts or truths, in one line.
pub(super) fn summary(document: &Value) -> String {
    let Value::Object(members) = document else { return inline(document) };
    let scalars = members.iter().filter(|(_, value)| !value.is_object() && !value.is_array());
    inline(&Value::Object(scalars.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => harmless(text),
        Value::Object(members) => members_inline(members),
        Value::Array(elements) => elements.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn members_inline(members: &Map<String, Value>) -> String {
    let members = members.iter().map(|(name, value)| format!("{} {}", title(name), inline(value)));
    members.collect::<Vec<_>>().join(", ")
}

fn title(name: &str) -> String {
    harmless(name).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_any_shape_are_readable() {
        let document = json!({
            "version": 3, "moved_bytes": 12.5, "error": null, "zones": ["a", "b"],
            "nodes": [{"name": "n1", "weight": 1}, {"name": "n\u{1b}2", "weight": 2}],
        });
        let lines = lines(&document);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "error         -",
                "moved bytes   12.5",
                "version       3",
                "zones         a, b",
                "",
                "nodes",
                "  name n1, weight 1",
                "  name n\\u{1b}2, weight 2",
            ]
        );
        assert_eq!(summary(&document), "error -, moved bytes 12.5, version 3");
    }
}
