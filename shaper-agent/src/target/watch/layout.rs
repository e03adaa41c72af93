//! How engines lay out their directories, and what it means when something happens there.

use std::path::Path;

/// What is kept below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sockets.
    Socket,
    /// containerd's tasks: `<namespace>/<id>/init.pid`.
    Tasks,
    /// Podman's lists: `<driver>-containers/containers.json`.
    Lists,
    /// Podman's processes: `<driver>-containers/<id>/userdata/pidfile`.
    Processes,
    /// What is left when a container of Podman's ends: `<id>`.
    Exits,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing that matters.
    Nothing,
    /// Something to a container, by its id.
    Container(String),
    /// Something to some container.
    Everything,
    /// A socket may have appeared.
    Socket,
}

impl Kind {
    /// Whether directories at this many levels below the root hold further ones that matter.
    pub(super) fn has_more(self, level: usize) -> bool {
        let last = match self {
            Self::Socket | Self::Exits => 0,
            Self::Lists => 1,
            Self::Tasks => 2,
            Self::Processes => 3,
        };
        level < last
    }

    /// Whether the directory `name` at this many levels below the root is one of those.
    pub(super) fn goes_down(self, level: usize, name: &str) -> bool {
        self.has_more(level)
            && match (self, level) {
                (Self::Lists | Self::Processes, 0) => name.ends_with("-containers"),
                (Self::Processes, 2) => name == "userdata",
                _ => true,
            }
    }

    /// What it means that something happened to `name` in `directory`.
    pub(super) fn event(self, level: usize, directory: &Path, name: &str) -> Meaning {
        match (self, level, name) {
            (Self::Socket, ..) => Meaning::Socket,
            (Self::Tasks, 1, id) | (Self::Processes, 1, id) | (Self::Exits, 0, id) => {
                // Files are written under a name of their own first.
                if id.starts_with('.') { Meaning::Nothing } else { Meaning::Container(id.to_owned()) }
            }
            (Self::Tasks, 2, "init.pid") | (Self::Processes, 3, "pidfile") => self.found(level, directory),
            (Self::Lists, 1, "containers.json" | "volatile-containers.json") => Meaning::Everything,
            _ => Meaning::Nothing,
        }
    }

    /// What it means that `directory` is there which was not before.
    pub(super) fn found(self, level: usize, directory: &Path) -> Meaning {
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let id = match (self, level) {
            (Self::Socket, _) => return Meaning::Socket,
            (Self::Lists, 1) => return Meaning::Everything,
            (Self::Tasks, 2) => name(directory),
            (Self::Processes, 3) => directory.parent().and_then(name),
            _ => None,
        };
        id.map_or(Meaning::Nothing, Meaning::Container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_files_tell_of_their_container() {
        let web = Meaning::Container("1f".to_owned());
        let task = Path::new("/run/tasks/moby/1f");
        assert_eq!(Kind::Tasks.event(2, task, "init.pid"), web);
        assert_eq!(Kind::Tasks.event(2, task, ".init.pid"), Meaning::Nothing);
        assert_eq!(Kind::Tasks.event(1, Path::new("/run/tasks/moby"), "1f"), web);
        assert_eq!(Kind::Tasks.event(0, Path::new("/run/tasks"), "moby"), Meaning::Nothing);
        let userdata = Path::new("/run/storage/overlay-containers/1f/userdata");
        assert_eq!(Kind::Processes.event(3, userdata, "pidfile"), web);
        assert_eq!(Kind::Processes.event(3, userdata, "oci-log"), Meaning::Nothing);
        assert_eq!(Kind::Processes.found(3, userdata), web);
        assert_eq!(Kind::Exits.event(0, Path::new("/run/libpod/exits"), "1f"), web);
        let lists = Path::new("/var/lib/storage/vfs-containers");
        assert_eq!(Kind::Lists.event(1, lists, "containers.json"), Meaning::Everything);
        assert_eq!(Kind::Lists.event(1, lists, "containers.lock"), Meaning::Nothing);
    }

    #[test]
    fn only_what_matters_is_gone_into() {
        assert!(Kind::Tasks.goes_down(1, "1f"));
        assert!(!Kind::Tasks.goes_down(2, "rootfs"), "it may be a whole system");
        assert!(Kind::Processes.goes_down(0, "overlay-containers"));
        assert!(!Kind::Processes.goes_down(0, "overlay"));
        assert!(!Kind::Processes.goes_down(2, "artifacts"));
        assert!(!Kind::Socket.goes_down(0, "netns"));
    }
}
