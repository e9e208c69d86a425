//! Tables: a heading, then rows whose cells stand below each other.

use crate::terminal::{Line, Style, harmless};

/// Spaces between columns.
const GAP: usize = 3;

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<([String; N], Style)>,
}

/// A column's title, and to which side its cells keep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// For words.
    Left(&'static str),
    /// For numbers.
    Right(&'static str),
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Appends a row; `alarm` makes it red.
    pub(crate) fn row(&mut self, cells: [String; N], alarm: bool) {
        let style = if alarm { Style::Alarm } else { Style::Plain };
        self.rows.push((cells.map(|cell| harmless(&cell)), style));
    }

    /// The heading and all rows.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let titles = self.columns.map(|column| column.title().to_owned());
        let mut widths = titles.clone().map(|title| width(&title));
        for (cells, _) in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(cells) {
                *widest = (*widest).max(width(cell));
            }
        }
        let mut lines = vec![Line::heading(self.aligned(&titles, &widths))];
        lines.extend(
            self.rows.iter().map(|(cells, style)| Line { text: self.aligned(cells, &widths), style: *style }),
        );
        lines
    }

    fn aligned(&self, cells: &[String; N], widths: &[usize; N]) -> String {
        let mut text = String::new();
        for ((column, cell), widest) in self.columns.iter().zip(cells).zip(widths) {
            let padding = " ".repeat(widest.saturating_sub(width(cell)));
            let gap = " ".repeat(if text.is_empty() { 0 } else { GAP });
            text += &match column {
                Column::Left(_) => format!("{gap}{cell}{padding}"),
                Column::Right(_) => format!("{gap}{padding}{cell}"),
            };
        }
        text.trim_end().to_owned()
    }
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Left(title) | Self::Right(title) => title,
        }
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let mut table = Table::new([Column::Left("peer"), Column::Right("lag"), Column::Left("state")]);
        table.row(["n2".to_owned(), "35 ms".to_owned(), "alive".to_owned()], false);
        table.row(["frankfurt-ß".to_owned(), "0".to_owned(), String::new()], true);
        let lines = table.lines();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "peer            lag   state", //
                "n2            35 ms   alive",
                "frankfurt-ß       0",
            ]
        );
        let styles: Vec<Style> = lines.iter().map(|line| line.style).collect();
        assert_eq!(styles, [Style::Heading, Style::Plain, Style::Alarm]);
    }
}
