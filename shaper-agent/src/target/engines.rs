//! Where the container engines of this machine keep their sockets and state.

use std::path::PathBuf;

/// The places where container engines are looked for. An engine that is at none of them is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engines {
    /// The sockets of engines that speak Docker's HTTP interface.
    pub docker: Vec<PathBuf>,
    /// Podman's storages. They are read rather than its service asked, which would have to be kept running for it.
    pub podman: Vec<Storage>,
    /// The task directories of containerd: `…/io.containerd.runtime.v2.task`.
    pub containerd: Vec<PathBuf>,
}

/// A storage of Podman's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// What lasts: Podman's `--root`.
    pub graph: PathBuf,
    /// What lasts until the next start of the machine: Podman's `--runroot`.
    pub run: PathBuf,
    /// Where the end of a container is noted: `exits` in Podman's `--tmpdir`.
    pub exits: PathBuf,
}

impl Default for Engines {
    /// The engines' own defaults, as root.
    fn default() -> Self {
        Self {
            docker: vec!["/var/run/docker.sock".into()],
            podman: vec![Storage {
                graph: "/var/lib/containers/storage".into(),
                run: "/run/containers/storage".into(),
                exits: "/run/libpod/exits".into(),
            }],
            containerd: [
                "/run/containerd",
                // Docker's own, where it is not the system's.
                "/run/docker/containerd/daemon",
                "/run/k3s/containerd",
                "/var/snap/microk8s/common/run/containerd",
            ]
            .map(|state| PathBuf::from(state).join("io.containerd.runtime.v2.task"))
            .into(),
        }
    }
}

impl Engines {
    /// No engine at all; a start for a selection.
    #[must_use]
    pub fn none() -> Self {
        Self { docker: Vec::new(), podman: Vec::new(), containerd: Vec::new() }
    }
}
