//! Concurrent values of one key, as a reply of status 300 carries them.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::columns::{Column, Table};
use crate::terminal::{Line, harmless};
use crate::units::bytes;

/// Characters of a value that a table shows.
const SHOWN_CHARS_MAX: usize = 60;

/// The document of a 300, and what `settle get --json` prints of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sibling {
    /// In base64.
    value: String,
    content_type: String,
}

#[derive(Debug, Deserialize)]
struct Document {
    siblings: Vec<Sibling>,
}

/// Reads the body of a 300.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Sibling>> {
    let document: Document =
        serde_json::from_slice(body).context("the list of siblings is not as expected")?;
    Ok(document.siblings)
}

/// One value per row.
pub(super) fn table(siblings: &[Sibling]) -> Result<Vec<Line>> {
    let columns = [Column::Right("size"), Column::Left("content type"), Column::Left("value")];
    let mut table = Table::new(columns);
    for sibling in siblings {
        let value = STANDARD.decode(&sibling.value).context("a sibling is not base64")?;
        let size = bytes(value.len() as u64);
        table.row([size, sibling.content_type.clone(), shown(&value)], false);
    }
    Ok(table.lines())
}

impl Sibling {
    pub(super) fn new(value: &[u8], content_type: &str) -> Self {
        Self { value: STANDARD.encode(value), content_type: content_type.to_owned() }
    }
}

/// The beginning of a value in one line; what is no text, in hexadecimal.
fn shown(value: &[u8]) -> String {
    let text = match str::from_utf8(value) {
        Ok(text) => harmless(text),
        Err(_) => {
            let digits = value.iter().take(SHOWN_CHARS_MAX).map(|byte| format!("{byte:02x}"));
            format!("hexadecimal {}", digits.collect::<String>())
        }
    };
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    text.chars().take(SHOWN_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_kind_fit_into_a_line() {
        assert_eq!(shown(b"Paris\n"), "Paris\\n");
        assert_eq!(shown(b"\xff\x00"), "hexadecimal ff00");
        for long in ["ß".repeat(61).into_bytes(), vec![0xff; 100]] {
            let shown = shown(&long);
            assert_eq!((shown.chars().count(), shown.chars().last()), (SHOWN_CHARS_MAX, Some('…')));
        }
    }

    #[test]
    fn siblings_are_listed() {
        let body = br#"{"siblings": [{"value": "UGFyaXM=", "content_type": "text/plain"}]}"#;
        let siblings = parse(body).unwrap();
        assert_eq!(siblings, [Sibling::new(b"Paris", "text/plain")]);
        let lines = table(&siblings).unwrap();
        assert_eq!(lines[1].text, " 5 B   text/plain     Paris");
        assert!(parse(b"[]").is_err());
    }
}
