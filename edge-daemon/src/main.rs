//! The `edge-daemon` command: parses, wires, reports the exit code.

use std::process::ExitCode;

use edge_daemon::{
    cli::{Cli, Command},
    logging, run, score,
    settings::Settings,
};

/// Bad usage, as clap's own.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        // Also help and version, which are no errors.
        Err(error) => error.exit(),
    };
    logging::init(cli.log_format);
    let outcome = match cli.command {
        Some(Command::Score(arguments)) => score::run(&arguments),
        None => match Settings::resolve(cli.run) {
            Ok(settings) => run::run(settings),
            Err(error) => {
                eprintln!("error: {error}\n\nFor more information, try '--help'.");
                return ExitCode::from(USAGE);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
