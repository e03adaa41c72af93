//! Looking figures up among the outcomes.

use super::cell::{Cell, Finding, Outcome};
use super::contender::Contender;
use super::pair::Family;
use super::part::Part;
use super::traffic::Traffic;
use crate::rate::Rate;
use crate::statistics::percentile;

/// A row: a limit, and the protocol through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The limit.
    pub limit: Contender,
    /// The protocol.
    pub family: Family,
}

/// What the columns of a part are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The part.
    pub part: Part,
    /// Bits a second.
    pub rate_bit_s: u64,
    /// The uploads' congestion controls.
    pub congestion: Vec<String>,
    /// The path's round trip.
    pub delay_ms: u64,
}

/// The outcomes of one kernel.
#[derive(Debug, Clone, Copy)]
pub struct View<'a>(pub &'a [Outcome]);

impl Row {
    /// Its name in a table.
    pub fn name(self) -> String {
        match self.family {
            Family::V4 => self.limit.to_string(),
            Family::V6 => format!("{} IPv6", self.limit),
        }
    }

    fn holds(self, cell: &Cell) -> bool {
        cell.limit == self.limit && cell.family == self.family
    }
}

impl Column {
    fn of(cell: &Cell) -> Self {
        Self {
            part: cell.part,
            rate_bit_s: cell.rate_bit_s,
            congestion: cell.congestion.clone(),
            delay_ms: cell.delay_ms,
        }
    }

    /// The rate as it is written.
    pub fn rate(&self) -> String {
        Rate::Limit(self.rate_bit_s).to_string()
    }

    /// The congestion controls in short: `4 cubic`, `2 cubic + 2 bbr`, or just one's name.
    pub fn congestion(&self) -> String {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for name in &self.congestion {
            match groups.iter_mut().find(|(other, _)| other == name) {
                Some((_, count)) => *count += 1,
                None => groups.push((name, 1)),
            }
        }
        match groups[..] {
            [(name, 1)] => name.to_owned(),
            _ => groups.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(" + "),
        }
    }
}

impl<'a> View<'a> {
    /// The rows that there are, in the order of the contenders.
    pub fn rows(self) -> Vec<Row> {
        let rows = |family| Contender::all().map(move |limit| Row { limit, family });
        let all = rows(Family::V4).chain(rows(Family::V6));
        all.filter(|row| self.0.iter().any(|outcome| row.holds(&outcome.cell))).collect()
    }

    /// The columns of a part, in the order in which they were measured; those without a limit are none.
    pub fn columns(self, part: Part) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for cell in self.0.iter().map(|outcome| &outcome.cell) {
            let column = Column::of(cell);
            if cell.part == part && cell.rate_bit_s > 0 && !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns.sort_by_key(|column| (column.delay_ms, column.rate_bit_s));
        columns
    }

    /// The outcomes of a row in a part.
    pub fn of(self, row: Row, part: Part) -> impl Iterator<Item = &'a Outcome> {
        self.0.iter().filter(move |outcome| outcome.cell.part == part && row.holds(&outcome.cell))
    }

    /// A figure of a row and a column; the median if it was measured several times.
    pub fn figure(self, row: Row, column: &Column, figure: impl Fn(&Traffic) -> Option<f64>) -> Option<f64> {
        let outcomes = self.of(row, column.part).filter(|outcome| Column::of(&outcome.cell) == *column);
        let figures: Vec<f64> = outcomes.filter_map(Outcome::traffic).filter_map(figure).collect();
        percentile(&figures, 0.5)
    }

    /// The median of a figure over all of a row's traffic in a part.
    pub fn median(self, row: Row, part: Part, figure: impl Fn(&Traffic) -> Option<f64>) -> Option<f64> {
        let figures: Vec<f64> = self.of(row, part).filter_map(Outcome::traffic).filter_map(figure).collect();
        percentile(&figures, 0.5)
    }

    /// What is lacking or went wrong: which cell, and why.
    pub fn troubles(self) -> impl Iterator<Item = (&'a Cell, &'a str)> {
        self.0.iter().filter_map(|outcome| match &outcome.finding {
            Finding::NotHere(why) | Finding::Failed(why) => Some((&outcome.cell, why.as_str())),
            Finding::Traffic(_) | Finding::Change(_) | Finding::Program(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_controls_in_short() {
        let name = |names: &[&str]| {
            let congestion = names.iter().map(|name| (*name).to_owned()).collect();
            Column { part: Part::Fair, rate_bit_s: 1, congestion, delay_ms: 0 }.congestion()
        };
        assert_eq!(name(&["cubic"]), "cubic");
        assert_eq!(name(&["cubic"; 4]), "4 cubic");
        assert_eq!(name(&["cubic", "cubic", "bbr", "bbr"]), "2 cubic + 2 bbr");
    }
}
