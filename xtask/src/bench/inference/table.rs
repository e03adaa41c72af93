//! The outcomes of one task, for the terminal.

use super::outcome::Outcome;

/// A line for each engine; the ratios are to the first.
pub fn render(outcomes: &[Outcome]) -> String {
    let mut lines = vec![format!(
        "{:14} {:>9} {:>6} {:>9} {:>6} {:>9} {:>8}",
        "", "median", "ratio", "CPU", "ratio", "memory", "error"
    )];
    let Some(first) = outcomes.first() else { return String::new() };
    for outcome in outcomes {
        lines.push(format!(
            "{:14} {:6.1} ms {:6.2} {:6.1} ms {:6.2} {:6.0} MB {:8.1e}",
            outcome.engine,
            outcome.median_ms,
            outcome.median_ms / first.median_ms,
            outcome.cpu_ms,
            outcome.cpu_ms / first.cpu_ms,
            outcome.peak_memory_bytes as f64 / 1e6,
            outcome.error
        ));
    }
    lines.join("\n")
}
