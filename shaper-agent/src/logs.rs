//! The kernel programs' own messages, when they are on.

use std::time::Duration;

use aya_log::EbpfLogger;
use tokio::time::interval;

use crate::{error::chain, kernel::Kernel, spec::Direction};

/// How often they are read. What does not fit in the ring buffer in between is lost.
const FLUSH: Duration = Duration::from_millis(100);

/// Hands the messages to the log for as long as the agent lives.
pub(crate) fn forward(kernel: Option<&Kernel>) {
    let Some(kernel) = kernel else { return };
    for direction in Direction::ALL {
        let Some(program) = kernel.pinned_program(direction) else { continue };
        match EbpfLogger::init_from_id(program) {
            Ok(mut log) => {
                tokio::spawn(async move {
                    let mut flushes = interval(FLUSH);
                    loop {
                        flushes.tick().await;
                        log.flush();
                    }
                });
            }
            Err(error) => tracing::warn!("no messages from the {direction} program: {}", chain(&error)),
        }
    }
}
