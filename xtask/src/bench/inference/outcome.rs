//! What was measured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::engine::{Engine, Process, Task, Turn};
use crate::machine::Machine;
use crate::statistics::percentile;

/// Everything, as it is written (`docs/schema/bench-inference.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// The commit of the sources; absent outside a checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// The processor's instruction sets that matter here.
    pub flags: Vec<String>,
    /// One for each engine and task.
    pub outcomes: Vec<Outcome>,
}

impl Results {
    /// Writes the JSON.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// One engine at one task. Times are those of a batch, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The engine.
    pub engine: String,
    /// The network.
    pub network: String,
    /// Threads.
    pub threads: usize,
    /// Pictures of a batch.
    pub batch: usize,
    /// Runs that were timed.
    pub runs: usize,
    /// From the picture's values to the outputs'.
    pub median_ms: f64,
    /// The fastest run.
    pub least_ms: f64,
    /// What all threads ran: the median of the turns' means.
    pub cpu_ms: f64,
    /// The most memory that the engine's process ever held, in bytes.
    pub peak_memory_bytes: u64,
    /// The largest difference from double precision, as a share of the largest output.
    pub error: f64,
}

impl Outcome {
    /// What `turns` of an engine tell.
    ///
    /// # Errors
    ///
    /// If its process has ended, or its outputs are of another size than `reference`.
    pub fn new(
        engine: Engine,
        task: Task,
        process: &Process,
        turns: &[Turn],
        reference: &[f32],
    ) -> Result<Self> {
        let wall: Vec<f64> = turns.iter().flat_map(|turn| turn.wall_ms.iter().copied()).collect();
        let cpu: Vec<f64> = turns.iter().map(|turn| turn.cpu_ms).collect();
        let median = |values: &[f64]| percentile(values, 0.5).unwrap_or(f64::NAN);
        Ok(Self {
            engine: engine.to_string(),
            network: task.network.to_string(),
            threads: task.threads,
            batch: task.batch,
            runs: wall.len(),
            median_ms: median(&wall),
            least_ms: percentile(&wall, 0.0).unwrap_or(f64::NAN),
            cpu_ms: median(&cpu),
            peak_memory_bytes: process.peak_memory()?,
            error: error(&process.outputs, reference)
                .with_context(|| format!("the outputs of {engine} have another size than the reference's"))?,
        })
    }
}

/// The largest difference, as a share of the largest value; nothing if the sizes differ.
fn error(outputs: &[f32], reference: &[f32]) -> Option<f64> {
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.fold(0.0f64, |most, value| most.max(value.abs().into()))
    };
    let differences = &mut outputs.iter().zip(reference).map(|(output, reference)| output - reference);
    (outputs.len() == reference.len())
        .then(|| largest(differences) / largest(&mut reference.iter().copied()).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shares_of_the_largest_value() {
        assert_eq!(error(&[1.0, -3.5, 0.0], &[1.0, -4.0, 0.25]), Some(0.125));
        assert_eq!(error(&[1.0], &[1.0, 2.0]), None);
    }
}
