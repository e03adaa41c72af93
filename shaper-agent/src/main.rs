//! The `shaper-agent` command.

use std::process::ExitCode;

use clap::Parser as _;
use shaper_agent::{cli::Cli, run::run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.log_format.install();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shaper-agent: {error}");
            error.exit_code()
        }
    }
}
