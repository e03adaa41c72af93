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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{UnixListener, UnixStream},
        time::timeout,
    };

    use super::*;
    use crate::{spec::Target, target::Storage};

    const LONG: Duration = Duration::from_secs(20);
    /// Long enough for anything that would come.
    const QUIET: Duration = Duration::from_millis(200);

    fn engines(root: &Path) -> Engines {
        Engines {
            docker: vec![root.join("run/docker.sock")],
            podman: vec![Storage {
                graph: root.join("lib/storage"),
                run: root.join("run/storage"),
                exits: root.join("run/libpod/exits"),
            }],
            containerd: vec![root.join("run/containerd/tasks")],
        }
    }

    /// Whether a change of the container is told next, after those of others.
    async fn told(watcher: &mut Watcher, name: &str) -> bool {
        let target = Target::Container(name.to_owned());
        let next = async { while !watcher.changed().await.concerns(&target) {} };
        timeout(LONG, next).await.is_ok()
    }

    async fn quiet(watcher: &mut Watcher) -> bool {
        timeout(QUIET, watcher.changed()).await.is_err()
    }

    #[tokio::test]
    async fn engines_that_come_later_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut watcher = Watcher::new(&engines(root)).unwrap();
        assert!(quiet(&mut watcher).await);

        // All at once, and deep.
        let task = root.join("run/containerd/tasks/default/1f");
        fs::create_dir_all(&task).unwrap();
        assert!(told(&mut watcher, "1f").await);
        fs::write(task.join("log.json"), "").unwrap();
        fs::create_dir(task.join("rootfs")).unwrap();
        fs::write(task.join("config.json"), r#"{"annotations":{"nerdctl/name":"web"}}"#).unwrap();
        assert!(quiet(&mut watcher).await);
        fs::write(task.join("init.pid"), "1").unwrap();
        assert!(told(&mut watcher, "web").await);

        // The state goes and comes, as with another start of the machine.
        fs::remove_dir_all(root.join("run")).unwrap();
        assert!(told(&mut watcher, "1f").await);
        while !quiet(&mut watcher).await {}
        fs::create_dir_all(&task).unwrap();
        assert!(told(&mut watcher, "1f").await);

        let containers = root.join("lib/storage/overlay-containers");
        fs::create_dir_all(&containers).unwrap();
        fs::write(containers.join("containers.json"), r#"[{"id":"2e","names":["db"]}]"#).unwrap();
        assert!(told(&mut watcher, "db").await);
        while !quiet(&mut watcher).await {}
        let userdata = root.join("run/storage/overlay-containers/2e/userdata");
        fs::create_dir_all(&userdata).unwrap();
        assert!(told(&mut watcher, "db").await);
        fs::write(userdata.join("pidfile"), "1").unwrap();
        assert!(told(&mut watcher, "db").await);
        fs::create_dir_all(root.join("run/libpod/exits")).unwrap();
        while !quiet(&mut watcher).await {}
        fs::write(root.join("run/libpod/exits/2e"), "0").unwrap();
        assert!(told(&mut watcher, "db").await);
    }

    /// Takes a connection for events and answers that they follow.
    async fn accept(listener: &UnixListener) -> UnixStream {
        let (mut stream, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /events?filters="));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn docker_is_listened_to_whenever_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let engines = Engines { docker: vec![directory.path().join("run/docker.sock")], ..Engines::none() };
        let mut watcher = Watcher::new(&engines).unwrap();
        assert!(quiet(&mut watcher).await);
        fs::create_dir(directory.path().join("run")).unwrap();
        let listener = UnixListener::bind(&engines.docker[0]).unwrap();
        let mut stream = accept(&listener).await;
        assert!(told(&mut watcher, "anything").await);
        assert!(quiet(&mut watcher).await);

        // Events come in pieces, and several at once.
        let event =
            br#"{"Type":"container","Action":"start","Actor":{"ID":"1f","Attributes":{"name":"web"}}}"#;
        stream.write_all(&event[..30]).await.unwrap();
        assert!(quiet(&mut watcher).await);
        stream.write_all(&event[30..]).await.unwrap();
        let renamed =
            r#"{"Type":"container","Actor":{"ID":"2e","Attributes":{"name":"db","oldName":"/sql"}}}"#;
        stream.write_all(format!("\n{renamed}\n").as_bytes()).await.unwrap();
        assert!(told(&mut watcher, "web").await);
        stream.write_all(format!("{renamed}\n").as_bytes()).await.unwrap();
        assert!(told(&mut watcher, "sql").await);
        while !quiet(&mut watcher).await {}
        // What cannot be read may concern anything.
        stream.write_all(b"nonsense\n").await.unwrap();
        assert!(told(&mut watcher, "anything").await);

        // It goes, and is back soon or late.
        drop(stream);
        let stream = accept(&listener).await;
        assert!(told(&mut watcher, "anything").await);
        drop((stream, listener));
        fs::remove_file(&engines.docker[0]).unwrap();
        while !quiet(&mut watcher).await {}
        let listener = UnixListener::bind(&engines.docker[0]).unwrap();
        let _stream = accept(&listener).await;
        assert!(told(&mut watcher, "anything").await);
    }
}
