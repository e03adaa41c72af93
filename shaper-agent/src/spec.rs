//! What is wanted: whose traffic is limited, and how.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use shaper_common::{
    parameters::LONGEST_LATENCY,
    units::{Burst, Rate, duration},
};

/// Whose traffic a limit is for. Prints and reads back as `iface:veth1`, `container:web`, `pid:17`, `netns:blue`,
/// `cgroup:/sys/fs/cgroup/…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// What passes an interface of this network namespace: the host side of a container's veth.
    Iface(String),
    /// The container behind a process: the interface of its network namespace.
    Pid(u32),
    /// A named network namespace (`ip netns`), or the path of one.
    Netns(String),
    /// A container of Docker, Podman or containerd, by name or id. On the host's network it is limited by its cgroup.
    Container(String),
    /// The processes of a cgroup (version 2), by its directory.
    Cgroup(PathBuf),
}

impl Target {
    /// The kinds, as they are spelled in front of the colon and on the command line.
    pub const KINDS: [&str; 5] = ["iface", "pid", "netns", "container", "cgroup"];

    /// A target of a kind by its name.
    ///
    /// # Errors
    ///
    /// Says what a name of this kind looks like.
    pub fn new(kind: &str, name: &str) -> Result<Self, SpecError> {
        let bad = |expected| SpecError::Name { kind: kind.to_owned(), name: name.to_owned(), expected };
        match kind {
            "iface" => {
                valid_iface(name).then(|| Self::Iface(name.to_owned())).ok_or_else(|| bad(IFACE_EXPECTED))
            }
            "pid" => name
                .parse()
                .ok()
                .filter(|pid| *pid > 0)
                .map(Self::Pid)
                .ok_or_else(|| bad("the number of a process")),
            "netns" => {
                let path = name.starts_with('/') && plain(name, 4096);
                (path || valid_word(name)).then(|| Self::Netns(name.to_owned())).ok_or_else(|| {
                    bad("the name of a network namespace (`ip netns list`) or the path of one")
                })
            }
            "container" => valid_word(name)
                .then(|| Self::Container(name.to_owned()))
                .ok_or_else(|| bad("a container's name or id: letters, digits, `_`, `.`, `-`, `/`")),
            "cgroup" => {
                (name.starts_with('/') && plain(name, 4096) && !name.split('/').any(|part| part == ".."))
                    .then(|| Self::Cgroup(name.into()))
                    .ok_or_else(|| bad("the absolute path of a cgroup's directory, without `..`"))
            }
            _ => Err(SpecError::Kind(kind.to_owned())),
        }
    }
}

const IFACE_EXPECTED: &str =
    "the name of a network interface: at most 15 characters, no `/`, no white space, not `.` or `..`";

/// The kernel's own rule (`dev_valid_name`), and no control characters.
fn valid_iface(name: &str) -> bool {
    plain(name, 15)
        && !matches!(name, "." | "..")
        && !name.contains(['/', ':'])
        && !name.contains(char::is_whitespace)
}

/// A name that is safe in a path, in a message and in a shell.
fn valid_word(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    // containerd knows containers as `namespace/id`, Kubernetes pods as `namespace/pod/container`.
    plain(name, 512)
        && name.split('/').count() <= 3
        && name
            .split('/')
            .all(|part| !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(good))
        && !name.starts_with('-')
}

fn plain(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest && !name.contains(char::is_control)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iface(name) => write!(f, "iface:{name}"),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::Netns(name) => write!(f, "netns:{name}"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Cgroup(path) => write!(f, "cgroup:{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, name) = text.split_once(':').ok_or_else(|| SpecError::Kind(text.to_owned()))?;
        Self::new(kind, name)
    }
}

/// Which way traffic goes, as the container sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What it sends.
    Upload,
    /// What it receives.
    Download,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Upload, Self::Download];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upload => "upload",
            Self::Download => "download",
        })
    }
}

/// How a packet that may not go yet is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `shape` where the kernel has what it needs, else `police`; says which and why.
    #[default]
    Auto,
    /// It waits in a queue until it may go. Needs the kernel's `fq` and `ifb`.
    Shape,
    /// It is dropped.
    Police,
}

/// Where the kernel runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// TCX on Linux 6.6 and later, clsact before.
    #[default]
    Auto,
    /// A TCX link.
    Tcx,
    /// A filter of the clsact qdisc.
    Clsact,
}

/// Whether the kernel tells the senders behind a limit that polices how fast they may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// Where it can
    #[default]
    Auto,
    /// Never: their sockets are left alone
    Off,
}

/// How the traffic is limited.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the container may send a second.
    pub upload: Option<Rate>,
    /// What it may receive a second.
    pub download: Option<Rate>,
    /// What may leave at once after a pause; by default a time at the rate.
    pub burst: Option<Burst>,
    /// How long packets may wait in mode shape; by default what the mode takes.
    pub latency: Option<Duration>,
    /// Bytes that the uplink adds to each frame; may be negative.
    pub overhead: i32,
    /// How much deeper into debt than bulk small packets may go.
    pub reserve: Duration,
    /// How a packet that may not go yet is treated.
    pub mode: Mode,
    /// Whether senders are told how fast they may go.
    pub pacing: Pacing,
    /// Where the kernel runs the program.
    pub hook: Hook,
}

impl Settings {
    /// The rate of a direction; none if it is not limited.
    #[must_use]
    pub fn rate(&self, direction: Direction) -> Option<Rate> {
        match direction {
            Direction::Upload => self.upload,
            Direction::Download => self.download,
        }
    }
}

/// The default of [`Settings::reserve`].
pub const DEFAULT_RESERVE: Duration = Duration::from_secs(1);
/// What [`Settings::overhead`] may be.
pub const OVERHEADS: std::ops::RangeInclusive<i32> = -64..=256;
/// What [`Settings::latency`] may be, in words that go with "is not".
const LATENCIES: &str = "a time of at most 4s with its unit, such as `50ms`";

/// Reads a [`Settings::latency`].
///
/// # Errors
///
/// No time, or longer than [`LONGEST_LATENCY`]: what would do, in words that go with "is not".
pub fn latency(text: &str) -> Result<Duration, &'static str> {
    duration(text).ok().filter(|latency| *latency <= LONGEST_LATENCY).ok_or(LATENCIES)
}

/// One limit that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Whose traffic.
    pub target: Target,
    /// How.
    pub settings: Settings,
}

/// A target that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No such kind of target.
    #[error("`{0}` is no target; write iface:NAME, container:NAME, pid:NUMBER, netns:NAME or cgroup:PATH")]
    Kind(String),
    /// A name that no target of the kind can have.
    #[error("`{name}` is no {kind}: give {expected}")]
    Name {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_print_and_read_back() {
        for text in [
            "iface:veth1",
            "pid:17",
            "netns:blue",
            "netns:/run/netns/x",
            "container:web",
            "container:k8s.io/1f",
            "cgroup:/sys/fs/cgroup/a",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_that_reach_elsewhere_are_refused() {
        for text in [
            "",
            "veth1",
            "iface:",
            "iface:..",
            "iface:a/b",
            "iface:a b",
            "iface:sixteen-letters-",
            "iface:a:1",
            "pid:0",
            "pid:-1",
            "pid:x",
            "netns:../x",
            "netns:a b",
            "container:../../etc",
            "container:-v",
            "container:a//b",
            "container:a/b/c/d",
            "cgroup:relative",
            "cgroup:/sys/fs/cgroup/../x",
            "host:x",
            "iface:a\u{7}",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
