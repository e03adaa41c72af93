//! When to look for containers again.
//!
//! Docker tells what happens over a connection that is kept open; the state of Podman and containerd is watched in their
//! directories. Nothing is asked again and again: an engine that is not there costs a watch on the directory in which it
//! would appear.

mod docker;
mod files;
mod inotify;
mod layout;
mod pending;

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

pub use self::pending::Changes;
use self::{files::Files, pending::Pending};
use super::{engines::Engines, error::TargetError};

/// Tells when a container may have started, stopped, changed its name or got another network.
///
/// Make it before the targets are resolved for the first time, and nothing is missed. Its tasks end with it.
#[derive(Debug)]
pub struct Watcher {
    pending: Arc<Pending>,
    _tasks: JoinSet<()>,
}

impl Watcher {
    /// Begins to watch the engines.
    ///
    /// # Errors
    ///
    /// The kernel gives no inotify instance.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(engines: &Engines) -> Result<Self, TargetError> {
        let pending = Arc::new(Pending::default());
        // What the directories of sockets say concerns the tasks that wait for these.
        let (appeared, sockets) = watch::channel(());
        let files = Files::new(engines, Arc::clone(&pending), appeared)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(files.follow());
        for socket in &engines.docker {
            tasks.spawn(docker::follow(socket.clone(), Arc::clone(&pending), sockets.clone()));
        }
        Ok(Self { pending, _tasks: tasks })
    }

    /// Waits until something has changed since the last call. May be dropped and called again without loss.
    pub async fn changed(&mut self) -> Changes {
        self.pending.take().await
    }
}
