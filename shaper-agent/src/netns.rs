//! Network namespaces of containers, reached from the host.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    thread,
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};
use nix::sched::{CloneFlags, setns};

use crate::netlink;

/// Where `ip netns` and Docker keep namespaces that no process need be in.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// The namespaces that can be seen, by the numbers that this one has given them.
///
/// The kernel numbers namespaces but opens none by number, so every namespace that can be seen is asked for its: those
/// of all processes and the named ones. They are looked through once, when the first is asked for.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    paths: OnceCell<HashMap<i32, PathBuf>>,
}

impl Namespaces {
    /// Opens the namespace that this one numbers `id`.
    pub(crate) fn find(&self, id: i32) -> io::Result<File> {
        let unknown = || {
            io::Error::new(io::ErrorKind::NotFound, "no process and no named namespace shows the container's")
        };
        let path = self.paths.get_or_init(numbered).get(&id).ok_or_else(unknown)?;
        let namespace = File::open(path)?;
        // The process whose path this is may have ended since.
        if number_of(&namespace)? == Some(id) { Ok(namespace) } else { Err(unknown()) }
    }
}

fn numbered() -> HashMap<i32, PathBuf> {
    visible().filter_map(|(path, namespace)| Some((number_of(&namespace).ok()??, path))).collect()
}

/// The namespaces that can be seen, this one among them, each once.
pub(crate) fn visible() -> impl Iterator<Item = (PathBuf, File)> {
    let mut seen = HashSet::new();
    candidates().filter_map(move |path| {
        let metadata = fs::metadata(&path).ok()?;
        let first = seen.insert((metadata.dev(), metadata.ino()));
        first.then(|| Some((path.clone(), File::open(path).ok()?))).flatten()
    })
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let named = NAMED.iter().flat_map(|folder| entries(Path::new(folder)));
    let processes = entries(Path::new("/proc")).filter(|path| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    });
    named.chain(processes.map(|process| process.join("ns/net")))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The number that this namespace has given another; none if it has given none.
pub(crate) fn number_of(namespace: &File) -> io::Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(namespace.as_raw_fd() as u32));
    let answers = netlink::request(RouteNetlinkMessage::GetNsId(question))?;
    Ok(answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewNsId(answer) => {
            answer.attributes.into_iter().find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if id >= 0 => Some(id),
                _ => None,
            })
        }
        _ => None,
    }))
}

/// Runs `work` inside a namespace, on a thread of its own, so that this one never leaves.
pub(crate) fn run_in<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            work()
        });
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread in the container's namespace failed")))
    })
}
