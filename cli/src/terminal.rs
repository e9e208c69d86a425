//! What people see: bold headings and red alarms where there is a terminal, the same text elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context, Result};

/// How a line looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// Bold.
    Heading,
    /// Red.
    Alarm,
}

/// One line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// A line on standard error that says how far something is, for as long as it lasts; only where a
/// terminal can redraw it.
#[derive(Debug)]
pub(crate) struct Progress {
    live: bool,
    shown: String,
}

/// Whether standard output is a terminal that can redraw.
pub(crate) fn is_live() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb")
}

/// Whether standard output takes colours. They can be refused: <https://no-color.org>.
pub(crate) fn is_coloured() -> bool {
    is_live() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints lines on standard output.
pub(crate) fn print(lines: &[Line]) -> Result<()> {
    let coloured = is_coloured();
    let painted = lines.iter().map(|line| line.style.paint(line.text.trim_end(), coloured) + "\n");
    put(painted.collect::<String>().as_bytes())
}

/// Writes to standard output, all of it.
pub(crate) fn put(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Prints a document for programs.
pub(crate) fn print_json(document: &impl serde::Serialize) -> Result<()> {
    put((serde_json::to_string_pretty(document)? + "\n").as_bytes())
}

/// The text without what would move a terminal's cursor or colour the rest: others may have chosen it.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { live: io::stderr().is_terminal() && !is_dumb(), shown: String::new() }
    }

    /// Replaces what is shown. A line that wraps could not be taken back, so it is cut.
    pub(crate) fn show(&mut self, text: &str) {
        const CHARS_MAX: usize = 79;
        let text: String = harmless(text).chars().take(CHARS_MAX).collect();
        if self.live && text != self.shown {
            // With standard error closed there is nobody left to tell.
            drop(write!(io::stderr(), "\r\x1b[K{text}"));
            self.shown = text;
        }
    }
}

/// Nothing of it stays.
impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}

impl Style {
    /// The text as it is to be written.
    pub(crate) fn paint(self, text: &str, coloured: bool) -> String {
        match self {
            Self::Heading if coloured => format!("\x1b[1m{text}\x1b[0m"),
            Self::Alarm if coloured => format!("\x1b[31m{text}\x1b[0m"),
            Self::Plain | Self::Heading | Self::Alarm => text.to_owned(),
        }
    }
}

impl Line {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Plain }
    }

    pub(crate) fn heading(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Heading }
    }

    pub(crate) fn alarm(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Alarm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_where_they_are_not_wanted() {
        assert_eq!(Style::Alarm.paint("x", true), "\x1b[31mx\x1b[0m");
        assert_eq!(Style::Plain.paint("x", true), "x");
        assert_eq!([Style::Alarm, Style::Heading].map(|style| style.paint("x", false)), ["x", "x"]);
    }

    #[test]
    fn texts_of_others_cannot_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nß\u{9b}"), "a\\u{1b}[2Jb\\nß\\u{9b}");
    }
}
