//! `cargo xtask bench …`: Sluice measured beside its peers, in one run on one machine.
//!
//! # Layout
//!
//! - [`inference`]: networks on the processor
//! - [`shaper`]: limits on a container's upload
//! - [`namespace`]: network namespaces that vanish with the run

pub mod inference;
pub mod namespace;
pub mod shaper;

use anyhow::Result;
use clap::Subcommand;

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// Networks on the processor: Sluice's kernels beside ONNX Runtime, `OpenVINO`, `PyTorch`, `OpenCV`, tract and candle
    Inference(inference::options::Options),
    /// Limits on a container's upload: Sluice's beside tc, the CNI plugin's, Cilium's rule and wondershaper
    Shaper(shaper::options::Options),
}

/// Measures and prints.
///
/// # Errors
///
/// If the machine cannot hold the measurement, or a part of it fails.
pub fn bench(what: &Bench) -> Result<()> {
    match what {
        Bench::Inference(options) => inference::run(options),
        Bench::Shaper(options) => shaper::run(options),
    }
}
