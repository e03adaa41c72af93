//! Ctrl-C and SIGTERM: noticed at any time, acted upon where the work can stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether somebody has asked this program to end. The default is one that no signal sets.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The error of work that ended because of it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; files that were not finished are not there")]
pub struct Interrupted;

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
    ///
    /// # Errors
    ///
    /// If a handler cannot be set.
    pub fn register() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))
                .context("cannot take over signals")?;
        }
        Ok(interrupt)
    }

    /// As a signal does.
    #[cfg(test)]
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ends the work if a signal has come.
    ///
    /// # Errors
    ///
    /// [`Interrupted`].
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
    }
}
