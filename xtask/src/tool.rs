//! A program of the host that works for a set-up: it dies with this process and ends when a signal comes.

use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::confine::{Place, confine};
use crate::interrupt::Interrupt;

/// How often a running tool is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Runs `command` to its end, with what it prints on standard error.
///
/// # Errors
///
/// If it cannot be started or fails; its own messages say why. If the work is interrupted: the tool is ended.
pub(crate) fn run(mut command: Command, interrupt: &Interrupt) -> Result<()> {
    let name = command.get_program().display().to_string();
    let stderr = io::stderr().as_fd().try_clone_to_owned().context("cannot copy standard error")?;
    command.stdin(Stdio::null()).stdout(stderr);
    confine(&mut command, Place::Here);
    let mut child = command.spawn().with_context(|| missing(&name))?;
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {name}"))? {
            if !status.success() {
                bail!("`{}` failed ({status}): its messages above say why", line(&command));
            }
            return Ok(());
        }
        if interrupt.is_set() {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).ok();
            child.wait().ok();
            interrupt.check()?;
        }
        std::thread::sleep(GLANCE);
    }
}

/// What `command`, which is done in a moment, prints.
///
/// # Errors
///
/// If it cannot be started, fails, or prints what is not text.
pub(crate) fn read(mut command: Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    command.stdin(Stdio::null());
    confine(&mut command, Place::Here);
    let output = command.output().with_context(|| missing(&name))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            line(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} printed what is not text"))
}

fn missing(name: &str) -> String {
    format!("cannot run {name}: `cargo xtask setup` installs what is missing")
}

/// The command's last words, which tell it from its like; apt's options before them are long.
fn line(command: &Command) -> String {
    let name = command.get_program().to_string_lossy();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let first = arguments.len().saturating_sub(3);
    let cut = if first > 0 { " …" } else { "" };
    format!("{name}{cut} {}", arguments[first..].join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn failures_say_what_failed() {
        let interrupt = Interrupt::default();
        run(shell("true"), &interrupt).unwrap();
        let error = run(shell("exit 3"), &interrupt).unwrap_err().to_string();
        assert!(error.contains("sh -c exit 3") && error.contains("exit status: 3"), "{error}");
        assert_eq!(read(shell("echo word")).unwrap(), "word\n");
        let error = read(shell("echo cause >&2; false")).unwrap_err().to_string();
        assert!(error.contains("cause"), "{error}");
        let error = format!("{:#}", read(Command::new("no-such-program-here")).unwrap_err());
        assert!(error.contains("cargo xtask setup"), "{error}");
    }
}
