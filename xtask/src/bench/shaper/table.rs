//! A table of plain text.

use std::fmt::Write;
use std::ops::Range;

/// A table: headings of one or more lines, and rows with a name each.
#[derive(Debug, Default)]
pub struct Table {
    title: String,
    heads: Vec<Vec<String>>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// An empty table with its title and the lines of its heading. Above the last line of it, a heading
    /// that is the same as its left neighbour's is printed once.
    pub fn new(title: &str, heads: Vec<Vec<String>>) -> Self {
        Self { title: title.to_owned(), heads, rows: Vec::new() }
    }

    /// Adds a row, unless it is all empty. `None` is printed as a dash.
    pub fn row(&mut self, name: &str, values: Vec<Option<String>>) {
        if values.iter().any(Option::is_some) {
            let values = values.into_iter().map(|value| value.unwrap_or_else(|| "-".into())).collect();
            self.rows.push((name.to_owned(), values));
        }
    }

    /// The text, with an empty line before it; nothing if there are no rows.
    pub fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let widths = self.widths();
        let names = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text = format!("\n{}\n", self.title);
        for (number, head) in self.heads.iter().enumerate() {
            let mut line = " ".repeat(names);
            if number + 1 == self.heads.len() {
                for (name, width) in head.iter().zip(&widths) {
                    write!(line, "  {name:>width$}").ok();
                }
            } else {
                for (name, columns) in groups(head) {
                    write!(line, "  {name:width$}", width = spanned(&widths[columns])).ok();
                }
            }
            writeln!(text, "{}", line.trim_end()).ok();
        }
        for (name, values) in &self.rows {
            write!(text, "{name:names$}").ok();
            for (value, width) in values.iter().zip(&widths) {
                write!(text, "  {value:>width$}").ok();
            }
            text.push('\n');
        }
        text
    }

    /// The width of each column: its widest cell or last heading, wider if the headings above need it.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|(_, values)| values.get(column));
            let last = self.heads.last().and_then(|head| head.get(column));
            cells.chain(last).map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(width).collect();
        for head in self.heads.iter().rev().skip(1) {
            for (name, columns) in groups(head) {
                let lacking = name.chars().count().saturating_sub(spanned(&widths[columns.clone()]));
                widths[columns.end - 1] += lacking;
            }
        }
        widths
    }
}

/// What a heading's groups are called and which columns each spans.
fn groups(head: &[String]) -> Vec<(&str, Range<usize>)> {
    let mut groups: Vec<(&str, Range<usize>)> = Vec::new();
    for (column, name) in head.iter().enumerate() {
        match groups.last_mut() {
            Some((last, columns)) if last == name => columns.end = column + 1,
            _ => groups.push((name, column..column + 1)),
        }
    }
    groups
}

/// The width of neighbouring columns together.
fn spanned(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut table =
            Table::new("payload", vec![words(&["64kbit", "64kbit", "1mbit"]), words(&["a", "b", "a"])]);
        table.row("tbf", vec![Some("99.9".into()), None, Some("7".into())]);
        table.row("nobody", vec![None, None, None]);
        table.row("shape", vec![Some("1".into()), Some("22.25".into()), Some("100.0".into())]);
        let expected = "\npayload\n       64kbit       1mbit\n          a      b      a\ntbf    99.9      -      7\nshape     1  22.25  100.0\n";
        assert_eq!(table.text(), expected, "\n{}\n{expected}", table.text());
        assert_eq!(Table::new("none", Vec::new()).text(), "");
    }
}
