//! What a started program does between fork and exec: dies with its parent, enters its network namespace, and
//! gives up what it does not need.
#![expect(
    unsafe_code,
    reason = "code between fork and exec, and dropping capabilities, have no safe interface"
)]

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

/// Read any file and search any directory: an edge whose model lies in somebody's home needs it, and it opens
/// no way to the network's limits. `CAP_DAC_READ_SEARCH` of `linux/capability.h`.
const READ_FILES: libc::c_ulong = 2;

/// Where a program runs.
#[derive(Debug)]
pub enum Place {
    /// In the caller's network namespace.
    Here,
    /// In this network namespace, with the caller's privileges.
    Namespace(File),
    /// In this network namespace, without privileges: as a container's program.
    Container(File),
    /// In a network namespace of its own that nobody else is in.
    New,
}

/// Makes the child die when the calling thread does (so that thread must outlive it), out of the terminal's reach
/// for Ctrl-C, and in its `place`.
pub fn confine(command: &mut Command, place: Place) {
    let parent = getpid();
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes only system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || prepare(parent, &place));
    }
}

fn prepare(parent: Pid, place: &Place) -> io::Result<()> {
    match place {
        Place::Here => {}
        Place::Namespace(namespace) => setns(namespace, CloneFlags::CLONE_NEWNET)?,
        Place::Container(namespace) => {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            drop_privileges()?;
        }
        Place::New => unshare(CloneFlags::CLONE_NEWNET)?,
    }
    set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the line above.
    if getppid() != parent { Err(io::Error::other("the parent has died")) } else { Ok(()) }
}

fn drop_privileges() -> io::Result<()> {
    for capability in (0..64).filter(|&capability| capability != READ_FILES) {
        // SAFETY: PR_CAPBSET_DROP takes one number and touches no memory of ours; beyond the last
        // capability that the kernel knows it fails with EINVAL.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    Ok(set_no_new_privs()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_child_runs_in_a_group_of_its_own() {
        let mut command = Command::new("sh");
        command.args(["-c", "cut -d' ' -f5 /proc/self/stat; echo $$"]);
        confine(&mut command, Place::Here);
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let mut lines = output.lines();
        assert_eq!(lines.next(), lines.next());
    }
}
