//! The log on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts the log; `RUST_LOG` sets how much is written.
pub fn init(format: LogFormat) {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(set) if !set.is_empty() => {
            EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).parse_lossy(set)
        }
        // A store that does not answer is told of once, by those who asked it.
        _ => EnvFilter::new("info,object_store=warn"),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
