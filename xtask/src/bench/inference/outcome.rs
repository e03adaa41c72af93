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
    fn results_follow_their_schema() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/bench-inference.schema.json");
        let schema: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let outcome = Outcome {
            engine: "sluice".into(),
            network: "resnet18".into(),
            threads: 2,
            batch: 1,
            runs: 20,
            median_ms: 72.5,
            least_ms: 71.0,
            cpu_ms: 140.1,
            peak_memory_bytes: 185_000_000,
            error: 2.6e-6,
        };
        let results = Results {
            started: "2026-03-01T12:00:00Z".into(),
            commit: None,
            machine: Machine { kernel: "6.12".into(), cpu: "a processor".into(), cpus: 2 },
            flags: vec!["avx2".into()],
            outcomes: vec![outcome],
        };
        jsonschema::validate(&schema, &serde_json::to_value(results).unwrap()).unwrap();
    }

    #[test]
    fn errors_are_shares_of_the_largest_value() {
        assert_eq!(error(&[1.0, -3.5, 0.0], &[1.0, -4.0, 0.25]), Some(0.125));
        assert_eq!(error(&[1.0], &[1.0, 2.0]), None);
    }
}
