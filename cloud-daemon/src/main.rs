//! `cloud-daemon`: answers `POST /infer` with the big model's detections.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use cloud_daemon::options::{LogFormat, Options};
use cloud_daemon::server::{Server, Settings};
use health::Question;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.health {
        return health::check(options.address(), Question::Http("/healthz"));
    }
    log_to_stderr(options.log_format);
    let settings = match options.settings() {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot take charge of SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot take charge of SIGTERM")?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot take charge of SIGHUP")?;
        let nudge = Arc::new(Notify::new());
        let nudged = Arc::clone(&nudge);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                nudged.notify_one();
            }
        });
        let server = Server::listen(settings).await?;
        writeln!(std::io::stdout(), "listening http://{}", server.address())
            .context("cannot write to standard output")?;
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        Ok(server.run(nudge, stop).await?)
    });
    // A picture that is being decoded is not waited for.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

fn log_to_stderr(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,object_store=warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
}
