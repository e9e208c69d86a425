//! Standard output: on a terminal a table that is drawn again in place, below the lines that stay;
//! elsewhere lines only.

use std::io::Write;

use anyhow::{Context, Result};

use crate::terminal::{self, Line};

/// Without one, or on one that does not tell its width.
const WIDTH_DEFAULT: usize = 100;

/// Where the demo writes.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    /// Whether there is a terminal that can redraw.
    live: bool,
    coloured: bool,
    /// The table as drawn last, to be drawn again below a new line.
    table: Vec<Line>,
    /// Lines of it on the screen.
    drawn: usize,
}

impl Screen<std::io::Stdout> {
    /// The process's standard output.
    pub(super) fn standard() -> Self {
        Self::new(std::io::stdout(), terminal::is_live(), terminal::is_coloured())
    }
}

impl<W: Write> Screen<W> {
    fn new(out: W, live: bool, coloured: bool) -> Self {
        Self { out, live, coloured, table: Vec::new(), drawn: 0 }
    }

    /// Whether the table is redrawn in place.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Prints a text that stays, above the table.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        let mut frame = self.erased();
        frame.push_str(text);
        frame.push('\n');
        self.append_table(&mut frame);
        self.put(&frame)
    }

    /// Draws the table anew.
    pub(super) fn draw(&mut self, table: Vec<Line>) -> Result<()> {
        let mut frame = self.erased();
        self.table = table;
        self.append_table(&mut frame);
        self.put(&frame)
    }

    /// Leaves the table as it is: what is printed next comes below it.
    pub(super) fn keep_table(&mut self) {
        self.table.clear();
        self.drawn = 0;
    }

    /// Moves to the first line of the table and clears from there on.
    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }

    fn append_table(&mut self, frame: &mut String) {
        let width = if self.live { width() } else { usize::MAX };
        for line in &self.table {
            // A wrapped line would be two, and moving up by one would leave the other behind.
            let text: String = line.text.chars().take(width).collect();
            frame.push_str(&line.style.paint(text.trim_end(), self.coloured));
            frame.push('\n');
        }
        if self.live {
            self.drawn = self.table.len();
        } else {
            self.table.clear();
        }
    }

    fn put(&mut self, frame: &str) -> Result<()> {
        let written = self.out.write_all(frame.as_bytes()).and_then(|()| self.out.flush());
        written.context("cannot write to standard output")
    }
}

/// Columns of the terminal at this moment.
fn width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => WIDTH_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Style;

    fn line(text: &str, style: Style) -> Line {
        Line { text: text.to_owned(), style }
    }

    fn shown(live: bool, coloured: bool) -> String {
        let mut screen = Screen::new(Vec::new(), live, coloured);
        screen.say("begin").unwrap();
        screen.draw(vec![line("head", Style::Heading), line("row", Style::Alarm)]).unwrap();
        screen.say("event").unwrap();
        screen.keep_table();
        screen.say("end").unwrap();
        String::from_utf8(screen.out).unwrap()
    }

    #[test]
    fn without_a_terminal_there_are_only_lines() {
        assert_eq!(shown(false, false), "begin\nhead\nrow\nevent\nend\n");
    }

    #[test]
    fn on_a_terminal_the_table_stays_below_what_is_said() {
        assert_eq!(shown(true, false), "begin\nhead\nrow\n\x1b[2A\x1b[Jevent\nhead\nrow\nend\n");
        assert!(shown(true, true).contains("\x1b[1mhead\x1b[0m\n\x1b[31mrow\x1b[0m\n"));
    }
}
