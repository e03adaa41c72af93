//! How a guest's process comes to life: among mounts and processes of its own, so that nothing of it outlives this
//! program, and with the streams that it is given.
#![expect(unsafe_code, reason = "code between fork and exec has no safe interface")]

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// Gives the calling thread a view of the mounts of its own, in which `folder` is an empty file system in memory,
/// and makes its next child the first process of a process namespace.
///
/// The kernel removes the one with the thread and the guest, and the other with the guest's first process, however
/// these end. After this the thread can start no further threads.
///
/// # Errors
///
/// If a system call fails; it needs root.
pub(super) fn isolate(folder: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)
        .context("cannot make namespaces of mounts and processes")?;
    let none = None::<&str>;
    // Else what is mounted below would be mounted for everybody.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make the mounts private")?;
    // A user-mode guest keeps its memory there, too.
    mount(Some("sluice-vm"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=95%,mode=0755"))
        .with_context(|| format!("cannot mount a file system in memory on {}", folder.display()))
}

/// Starts `command` with `streams` open under the numbers that they have here. It dies with the calling thread.
///
/// # Errors
///
/// If it cannot be started.
pub(super) fn start(mut command: Command, streams: Vec<OwnedFd>) -> io::Result<Child> {
    let (alive, held) = io::pipe()?;
    // This process's own end, and the one that the child closes: together they tell whether this process lives.
    let mut held_by_child = Some(held);
    // Out of the terminal's reach for Ctrl-C.
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes only system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            drop(held_by_child.take());
            for stream in &streams {
                fcntl(stream, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above, and getppid() tells nothing across namespaces.
            if is_closed(&alive)? { Err(io::Error::other("the parent has died")) } else { Ok(()) }
        });
    }
    command.spawn()
}

/// Whether the last writing end of a pipe has been closed.
fn is_closed(pipe: &PipeReader) -> io::Result<bool> {
    let mut asked = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    poll(&mut asked, PollTimeout::ZERO)?;
    Ok(asked[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_closed_pipe_is_noticed() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_closed(&reader).unwrap());
        drop(writer);
        assert!(is_closed(&reader).unwrap());
    }

    #[test]
    fn a_child_has_its_streams() {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("echo word >&{}", writer.as_raw_fd()));
        let status = start(command, vec![writer.into()]).unwrap().wait().unwrap();
        assert!(status.success());
        assert_eq!(io::read_to_string(reader).unwrap(), "word\n", "and the pipe ends with it");
    }
}
