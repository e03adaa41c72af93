//! `rtsp-relay`: plays video files in a loop as if they were cameras, and takes pushes.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, bail};
use clap::Parser;
use health::Question;
use nix::sys::signal::{SigSet, Signal};
use rtsp_relay::options::{LogFormat, Options};
use rtsp_relay::path::StreamPath;
use rtsp_relay::relay::Stopper;
use rtsp_relay::{Clip, Relay, plugins};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.health {
        return health::check(options.listen, Question::Rtsp);
    }
    log_to_stderr(options.log_format);
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let stopper = stop_on_signals()?;
    plugins::init()?;
    let mut clips: Vec<(StreamPath, Clip)> = Vec::new();
    for play in &options.play {
        if clips.iter().any(|(path, _)| *path == play.path) {
            bail!("--play {}: given twice; each file needs a path of its own", play.path);
        }
        let clip = Clip::read(&play.file)?;
        tracing::info!(
            path = %play.path,
            file = %play.file.display(),
            pictures = clip.access_units.len(),
            length = %clip.length,
            "read"
        );
        if clip.key_frames_are_rare() {
            tracing::warn!(
                file = %play.file.display(),
                distance = %clip.key_frame_distance(),
                "key frames are far apart: a viewer sees nothing until the next one; \
                 one a second is better: ffmpeg -i IN -c:v libx264 -g 25 OUT.mp4"
            );
        }
        clips.push((play.path.clone(), clip));
    }

    let relay = Relay::listen(options.listen, clips, options.push_limits())?;
    // Never set before: only here.
    let _ = stopper.set(relay.stopper());
    let mut stdout = std::io::stdout().lock();
    for play in &options.play {
        writeln!(stdout, "ready {}", relay.url(&play.path)).context("cannot write to standard output")?;
    }
    if options.accept_push {
        writeln!(stdout, "ready {}/", relay.base_url()).context("cannot write to standard output")?;
    }
    stdout.flush().context("cannot write to standard output")?;
    drop(stdout);
    relay.run();
    Ok(())
}

/// Ends the program on SIGINT or SIGTERM: at once while it reads clips, through the stopper from when it is set.
fn stop_on_signals() -> anyhow::Result<Arc<OnceLock<Stopper>>> {
    // Blocked before there are other threads, so that only the one below takes them.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block().context("cannot take charge of SIGINT and SIGTERM")?;
    let stopper = Arc::new(OnceLock::<Stopper>::new());
    let stopped = Arc::clone(&stopper);
    std::thread::Builder::new().name("signals".into()).spawn(move || match signals.wait() {
        Ok(signal) => {
            tracing::info!(%signal, "stopping");
            match stopped.get() {
                Some(stopper) => stopper.stop(),
                None => std::process::exit(0),
            }
        }
        Err(error) => tracing::error!(%error, "cannot wait for signals"),
    })?;
    Ok(stopper)
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
}
