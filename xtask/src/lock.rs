//! The right to change a folder: one process has it at a time.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::interrupt::Interrupt;

/// How often it is asked for again while another process has it.
const RETRY: Duration = Duration::from_millis(200);

/// Waits for the right to change `folder`; others may read it meanwhile.
///
/// # Errors
///
/// If it cannot be had, or the wait was interrupted.
pub(crate) fn wait(folder: &Path, interrupt: &Interrupt) -> Result<Flock<File>> {
    let path = folder.join("lock");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut said = false;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, error)) => bail!("cannot lock {}: {error}", path.display()),
        }
        if !said {
            eprintln!("waiting for another set-up of {}", folder.display());
            said = true;
        }
        interrupt.check()?;
        std::thread::sleep(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::default();
        let first = wait(directory.path(), &interrupt).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| wait(directory.path(), &interrupt).map(drop));
            std::thread::sleep(RETRY);
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
    }
}
