//! The kernel's word on what happens in directories, as a future.

#![expect(
    unsafe_code,
    reason = "only the owner of a file descriptor knows that it stays open while it is polled"
)]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::Path,
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};
use tokio::io::{Interest, unix::AsyncFd};

/// An inotify instance on the runtime.
#[derive(Debug)]
pub(super) struct Directories(AsyncFd<Handle>);

#[derive(Debug)]
struct Handle(Inotify);

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Directories {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // SAFETY: `Handle` owns the instance, whose descriptor is closed when it is dropped and never before.
        let handle = unsafe { AsyncFd::register_with_interest(Handle(inotify), Interest::READABLE) };
        Ok(Self(handle.map_err(|error| error.into_parts().1)?))
    }

    /// Watches a directory for entries that come and go, and files that have been written.
    pub(super) fn add(&self, directory: &Path) -> io::Result<WatchDescriptor> {
        let what = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_ONLYDIR;
        Ok(self.0.get_ref().0.add_watch(directory, what)?)
    }

    /// Waits for events. May be dropped without loss.
    pub(super) async fn events(&self) -> io::Result<Vec<InotifyEvent>> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.get_inner().0.read_events() {
                Ok(events) => return Ok(events),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
