//! The command line of `bench inference`.

use std::path::PathBuf;

use clap::Args;

use super::engine::Engine;
use super::network::Network;

/// What is compared.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Networks
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Network::ALL)]
    pub networks: Vec<Network>,
    /// Engines; the ratios are to the first
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Engine::ALL)]
    pub engines: Vec<Engine>,
    /// Threads of each engine
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub threads: Vec<usize>,
    /// Pictures of a run
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    pub batches: Vec<usize>,
    /// How often each engine takes its turn
    #[arg(long, default_value_t = 10)]
    pub rounds: usize,
    /// Runs of a turn
    #[arg(long, default_value_t = 2)]
    pub runs: usize,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
