//! The `edge-daemon` command: parses, wires, reports the exit code.

use std::process::ExitCode;

use edge_daemon::{
    cli::{Cli, Command},
    logging, run, score,
    settings::Settings,
    shell,
};
use health::Question;

/// Bad usage, as clap's own.
const USAGE: u8 = 2;

/// "Command not found", as shells have it.
const NO_SHELL: u8 = 127;

fn main() -> ExitCode {
    if let Some(why) = shell::refusal(std::env::args_os().next().as_deref(), std::process::id()) {
        eprintln!("{why}");
        return ExitCode::from(NO_SHELL);
    }
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        // Also help and version, which are no errors.
        Err(error) => error.exit(),
    };
    if let Some(listen) = cli.run.listen.filter(|_| cli.run.health) {
        return health::check(listen, Question::Http("/healthz"));
    }
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
