//! The command `detect`: a model file and picture files, without a server.
//!
//! # Layout
//!
//! - [`Options`]: the command line; [`run`] does what it says.
//! - `image`, `video`, `info`, `convert`, `evaluate`, `bench`: one subcommand each.
//! - `picture_file`: a file to a picture; `video_file`, `y4m`: a video to pictures.
//! - `finding`, `lines`, `drawn`: detections of a picture, written and drawn; `output_file`: files that are whole or not there.
//! - `plot`: precision-recall curves as SVG; `progress`: how far a long command has come.
//! - [`Interrupt`]: Ctrl-C, acted upon where the work can stop.

mod bench;
mod convert;
mod drawn;
mod evaluate;
mod finding;
mod image;
mod info;
mod interrupt;
mod lines;
mod options;
mod output_file;
mod picture_file;
mod plot;
mod progress;
mod video;
mod video_file;
mod y4m;

use std::io::Write;

use anyhow::Result;

pub use interrupt::{Interrupt, Interrupted};
pub use options::Options;

use options::Command;

/// Does what `options` say, and writes the result to `output`.
///
/// # Errors
///
/// The first failure, in words for people: what failed, why, and what to do. [`Interrupted`] after Ctrl-C, and the
/// plain [`std::io::Error`] if `output` takes no more.
pub fn run(options: &Options, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    match &options.command {
        Command::Image(options) => image::run(options, interrupt, output),
        Command::Video(options) => video::run(options, interrupt, output),
        Command::Info(options) => info::run(options, output),
        Command::Convert(options) => convert::run(options, interrupt, output),
        Command::Evaluate(options) => evaluate::run(options, interrupt, output),
        Command::Bench(options) => bench::run(options, interrupt, output),
    }
}

/// An error with its causes in one line. Some errors tell their cause themselves: that is not told again.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let told =
            anyhow::Error::msg("no such file").context("model m: no such file").context("picture a.jpg");
        assert_eq!(in_words(&told), "picture a.jpg: model m: no such file");
        let untold = anyhow::Error::msg("no such file").context("cannot read a.jpg");
        assert_eq!(in_words(&untold), "cannot read a.jpg: no such file");
    }
}
