//! The directories in which engines keep their sockets and the state of their containers.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};
use tokio::sync::watch;

use super::{
    super::{
        container,
        engines::Engines,
        error::{Reason, TargetError},
    },
    inotify::Directories,
    layout::{Kind, Meaning},
    pending::{Changed, Pending},
};

/// A directory with all that is kept below it.
#[derive(Debug)]
struct Root {
    kind: Kind,
    path: PathBuf,
}

/// What a directory is to a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    /// It is above the root, which is not there yet.
    Above,
    /// It is so many levels below the root.
    Level(usize),
}

/// A directory that is watched.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// By the root's index: a directory can be one root's and above another.
    roles: HashSet<(usize, Role)>,
}

/// What a bundle of events comes to.
#[derive(Debug, Default)]
struct News {
    ids: HashSet<String>,
    everything: bool,
    appeared: bool,
    /// Directories have come or gone.
    stale: bool,
}

/// Watches the directories of all engines.
#[derive(Debug)]
pub(super) struct Files {
    engines: Engines,
    roots: Vec<Root>,
    directories: Directories,
    watched: HashMap<WatchDescriptor, Watched>,
    pending: Arc<Pending>,
    appeared: watch::Sender<()>,
}

impl Files {
    /// `appeared` is told when a file appears in a socket's directory.
    pub(super) fn new(
        engines: &Engines,
        pending: Arc<Pending>,
        appeared: watch::Sender<()>,
    ) -> Result<Self, TargetError> {
        let directories = Directories::new().map_err(|error| {
            TargetError::new(
                Reason::Failed,
                "the directories of container engines",
                format!("the kernel gives no inotify instance: {error}"),
            )
            .next("raise `sysctl fs.inotify.max_user_instances`")
        })?;
        let root = |kind, path: &Path| Root { kind, path: path.to_owned() };
        let sockets = engines.docker.iter().filter_map(|socket| Some(root(Kind::Socket, socket.parent()?)));
        let tasks = engines.containerd.iter().map(|tasks| root(Kind::Tasks, tasks));
        let podman = engines.podman.iter().flat_map(|storage| {
            [
                root(Kind::Lists, &storage.graph),
                root(Kind::Lists, &storage.run),
                root(Kind::Processes, &storage.run),
                root(Kind::Exits, &storage.exits),
            ]
        });
        let mut files = Self {
            engines: engines.clone(),
            roots: sockets.chain(tasks).chain(podman).collect(),
            directories,
            watched: HashMap::new(),
            pending,
            appeared,
        };
        files.watch(&mut News::default());
        Ok(files)
    }

    /// Follows the directories for ever.
    pub(super) async fn follow(mut self) {
        loop {
            let mut news = News::default();
            match self.directories.events().await {
                Ok(events) => events.into_iter().for_each(|event| self.read(event, &mut news)),
                Err(error) => {
                    tracing::warn!("containers are no longer watched in their directories: {error}");
                    return;
                }
            }
            if news.stale {
                // Only what is told after the watches are set cannot be missed.
                self.watch(&mut news);
            }
            if news.appeared {
                self.appeared.send_replace(());
            }
            if news.everything {
                self.pending.everything();
                continue;
            }
            for id in news.ids {
                match container::names(&id, &self.engines).await {
                    Some(names) => self.pending.container(Changed { id, names }),
                    None => self.pending.everything(),
                }
            }
        }
    }

    fn read(&mut self, event: InotifyEvent, news: &mut News) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            (news.stale, news.everything) = (true, true);
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.watched.remove(&event.wd);
            news.stale = true;
        }
        let (Some(watched), Some(name)) = (self.watched.get(&event.wd), event.name.as_ref()) else { return };
        let name = name.to_string_lossy();
        let is_directory = event.mask.contains(AddWatchFlags::IN_ISDIR);
        for (root, role) in &watched.roles {
            let kind = self.roots[*root].kind;
            match role {
                Role::Above => news.stale |= is_directory,
                Role::Level(level) => {
                    news.stale |= is_directory && kind.goes_down(*level, &name);
                    news.add(kind.event(*level, &watched.path, &name));
                }
            }
        }
    }

    /// Watches every directory of every root that is there now; what is found new is news.
    fn watch(&mut self, news: &mut News) {
        for index in 0..self.roots.len() {
            let path = self.roots[index].path.clone();
            if let Err(error) = self.watch_root(index, &path, news) {
                tracing::warn!(
                    "cannot watch {} for containers: {error}; if it says that there is no space left, raise `sysctl \
                     fs.inotify.max_user_watches`",
                    path.display()
                );
            }
        }
    }

    fn watch_root(&mut self, index: usize, path: &Path, news: &mut News) -> io::Result<()> {
        loop {
            if path.is_dir() {
                return self.watch_level(index, 0, path, news);
            }
            let Some(above) = path.ancestors().skip(1).find(|above| above.is_dir()) else { return Ok(()) };
            self.add(index, Role::Above, above)?;
            // What has appeared before the watch was set is not told.
            let below = path.ancestors().take_while(|below| *below != above).last();
            if !below.is_some_and(Path::is_dir) {
                return Ok(());
            }
        }
    }

    fn watch_level(&mut self, index: usize, level: usize, path: &Path, news: &mut News) -> io::Result<()> {
        let kind = self.roots[index].kind;
        match self.add(index, Role::Level(level), path) {
            Ok(true) => news.add(kind.found(level, path)),
            Ok(false) => {}
            // It has gone again.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if !kind.has_more(level) {
            return Ok(());
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let goes_down = entry.file_name().to_str().is_some_and(|name| kind.goes_down(level, name));
            if goes_down && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.watch_level(index, level + 1, &entry.path(), news)?;
            }
        }
        Ok(())
    }

    /// Watches a directory; whether it is new to the root.
    fn add(&mut self, index: usize, role: Role, path: &Path) -> io::Result<bool> {
        let descriptor = self.directories.add(path)?;
        let fresh = || Watched { path: path.to_owned(), roles: HashSet::new() };
        Ok(self.watched.entry(descriptor).or_insert_with(fresh).roles.insert((index, role)))
    }
}

impl News {
    fn add(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Container(id) => drop(self.ids.insert(id)),
            Meaning::Everything => self.everything = true,
            Meaning::Socket => self.appeared = true,
        }
    }
}
