//! The streams between a guest and its host: what the command prints, how it ended, and the guest's console.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// How much of the end of a console is kept, in bytes.
const CONSOLE: usize = 64 * 1024;

/// The host's ends.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) out: UnixStream,
    pub(super) err: UnixStream,
    pub(super) control: UnixStream,
    pub(super) console: UnixStream,
}

/// The guest's ends.
#[derive(Debug)]
pub(super) struct Guest {
    out: UnixStream,
    err: UnixStream,
    control: UnixStream,
    console: UnixStream,
}

/// The numbers of the guest's ends, for its command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) out: RawFd,
    pub(super) err: RawFd,
    pub(super) control: RawFd,
    pub(super) console: RawFd,
}

/// Makes both ends of all streams.
///
/// # Errors
///
/// If the system refuses, having too many files open.
pub(super) fn pairs() -> Result<(Host, Guest)> {
    let pair = || UnixStream::pair().context("cannot make a pair of sockets");
    let (out, guest_out) = pair()?;
    let (err, guest_err) = pair()?;
    let (control, guest_control) = pair()?;
    let (console, guest_console) = pair()?;
    let host = Host { out, err, control, console };
    Ok((host, Guest { out: guest_out, err: guest_err, control: guest_control, console: guest_console }))
}

impl Guest {
    /// Their numbers in this process, and in the guest's.
    pub(super) fn numbers(&self) -> Numbers {
        Numbers {
            out: self.out.as_raw_fd(),
            err: self.err.as_raw_fd(),
            control: self.control.as_raw_fd(),
            console: self.console.as_raw_fd(),
        }
    }

    /// One more end of the console, for what the guest's process itself prints.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(super) fn log(&self) -> Result<OwnedFd> {
        Ok(self.console.try_clone().context("cannot copy a socket")?.into())
    }

    /// The ends, to be handed to the guest's process.
    pub(super) fn into_descriptors(self) -> Vec<OwnedFd> {
        [self.out, self.err, self.control, self.console].map(OwnedFd::from).into()
    }
}

/// What the guest has said of its command.
#[derive(Debug, Default)]
pub(super) struct Progress {
    started: AtomicBool,
    code: OnceLock<u8>,
}

impl Progress {
    /// Whether the command was started.
    pub(super) fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// The command's exit code, once it has ended and all that it printed has been passed on.
    pub(super) fn code(&self) -> Option<u8> {
        self.code.get().copied()
    }

    /// Reads what the guest says until it says no more.
    pub(super) fn follow(&self, control: UnixStream) {
        for line in BufReader::new(control).lines().map_while(Result::ok) {
            if line == "started" {
                self.started.store(true, Ordering::Relaxed);
            } else if let Some(code) = line.strip_prefix("exit ").and_then(|code| code.parse().ok()) {
                self.code.set(code).ok();
            }
        }
    }
}

/// Passes all of `from` on to `to` as it comes. When `to` takes no more, the rest is read and dropped, so that the
/// guest does not stand still.
pub(super) fn pass(mut from: UnixStream, to: &mut dyn Write) {
    let mut buffer = vec![0; 64 * 1024];
    let mut open = true;
    while let Ok(count @ 1..) = read(&mut from, &mut buffer) {
        open = open && to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_ok();
    }
}

/// Keeps the end of `console`, and copies all of it to `show`.
pub(super) fn keep(mut console: UnixStream, show: &mut dyn Write) -> String {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 4096]);
    while let Ok(count @ 1..) = read(&mut console, &mut buffer) {
        show.write_all(&buffer[..count]).ok();
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * CONSOLE {
            kept.drain(..kept.len() - CONSOLE);
        }
    }
    String::from_utf8_lossy(&kept).replace('\r', "")
}

fn read(from: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_of_its_command() {
        let (host, mut guest) = UnixStream::pair().unwrap();
        let progress = Progress::default();
        guest.write_all(b"started\nexit 300\nnoise\nexit 7\n").unwrap();
        assert!(!progress.started());
        drop(guest);
        progress.follow(host);
        assert!(progress.started());
        assert_eq!(progress.code(), Some(7));
    }

    #[test]
    fn output_is_read_to_its_end_even_if_nobody_takes_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (host, mut guest) = UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || pass(host, &mut Full));
        guest.write_all(&vec![7; 3 << 20]).unwrap();
        drop(guest);
        reader.join().unwrap();
    }

    #[test]
    fn the_end_of_a_console_is_kept() {
        let (host, mut guest) = UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || {
            let mut shown = Vec::new();
            (keep(host, &mut shown), shown)
        });
        let mut text = vec![b'a'; 10 * CONSOLE];
        text.extend_from_slice(b"panic\r\n");
        guest.write_all(&text).unwrap();
        drop(guest);
        let (kept, shown) = reader.join().unwrap();
        assert!(kept.len() >= CONSOLE && kept.len() <= 2 * CONSOLE && kept.ends_with("apanic\n"));
        assert_eq!(shown, text);
    }
}
