//! `detect`: finds objects in picture files with a model file.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use detector::command::{self, Interrupt, Interrupted, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let mut output = io::stdout().lock();
    let result = Interrupt::register().and_then(|interrupt| command::run(&options, &interrupt, &mut output));
    let result = result.and_then(|()| Ok(output.flush()?));
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Whoever reads the output has read enough: `detect image … | head`.
    let broken_pipe = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("detect: {}", command::in_words(&error));
    if error.is::<Interrupted>() { ExitCode::from(130) } else { ExitCode::FAILURE }
}
