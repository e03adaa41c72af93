//! Finds whose traffic is to be limited: from the [`Target`] that a user names to the [`Place`] where the kernel sees it.
//!
//! # Layout
//!
//! - `namespace`, `uplink`: from a process or a network namespace to the host side of its veth
//! - `container`: from a name to a running container, with Docker, Podman and containerd ([`Engines`])
//! - `cgroup`: from a container on the host's network to its version 2 cgroup ([`CgroupPlace`])
//! - `watch`: when to look again ([`Watcher`])
//! - `error`: why there is no place ([`TargetError`])

mod cgroup;
mod container;
mod engines;
mod error;
mod namespace;
mod process;
mod uplink;
mod watch;

pub(crate) use self::cgroup::unified;
use self::namespace::Namespace;
pub use self::{
    cgroup::CgroupPlace,
    engines::{Engines, Storage},
    error::{Reason, TargetError},
    watch::{Changes, Watcher},
};
use crate::spec::Target;

/// Where a limit takes hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An interface of the agent's network namespace: the host side of a veth.
    Interface(String),
    /// A cgroup.
    Cgroup(CgroupPlace),
}

/// Finds the places of targets. Keep it: it remembers what it has read of containers, and which it waits for.
#[derive(Debug, Default)]
pub struct Resolver {
    engines: Engines,
    known: container::Known,
    awaited: container::Awaited,
}

impl Resolver {
    /// Looks for containers at the places that `engines` names.
    #[must_use]
    pub fn new(engines: Engines) -> Self {
        Self { engines, known: container::Known::default(), awaited: container::Awaited::default() }
    }

    /// Finds where the target's traffic can be limited now. Whether an interface that is named exists is not checked.
    ///
    /// For a container on the host's network that has no version 2 cgroup of its own, one is made and filled.
    ///
    /// A place that has been found before stays right as long as the interface or the cgroup exists: an error later may
    /// only mean that the container's engine is being restarted, or that the container hides from it.
    ///
    /// # Errors
    ///
    /// Its [`TargetError::reason`] tells what has no place from what has none yet.
    pub async fn resolve(&self, target: &Target) -> Result<Place, TargetError> {
        match target {
            Target::Iface(name) => Ok(Place::Interface(name.clone())),
            Target::Cgroup(path) => CgroupPlace::named(path).map(Place::Cgroup),
            Target::Netns(name) => foreign(&Namespace::named(name)?),
            Target::Pid(pid) => foreign(&Namespace::of_process(*pid, format!("process {pid}"))?),
            Target::Container(name) => {
                let object = container::object(name);
                let running = match self.awaited.take_started(name, &self.engines) {
                    Some(running) => running,
                    None => container::find(name, &self.engines, &self.known, &self.awaited).await?,
                };
                // The engines' numbers of processes are the machine's.
                if process::counts_otherwise() && !process::is_of(running.pid, &running.id) {
                    let cause =
                        format!("its engine calls its process {}, but that is not so here", running.pid);
                    return Err(TargetError::new(Reason::WrongKind, object, cause)
                        .next("run shaper-agent in the host's PID namespace (`docker run --pid=host`)"));
                }
                let namespace = match Namespace::of_process(running.pid, object.clone()) {
                    Err(error) if error.reason() == Reason::NotFound => {
                        Err(TargetError::new(Reason::NotRunning, &object, "it has just ended"))
                    }
                    other => other,
                }?;
                if namespace.is_own()? {
                    CgroupPlace::of_container(running.pid, &running.id, running.scope, &object)
                        .map(Place::Cgroup)
                } else {
                    match uplink::host_side(&namespace) {
                        // Its network is being made.
                        Err(_) if running.starting => {
                            self.awaited.put(name, running.id, running.scope);
                            Err(container::not_running(object))
                        }
                        other => other.map(Place::Interface),
                    }
                }
            }
        }
    }
}

/// Finds where the target's traffic can be limited now, with the engines at their usual places. See
/// [`Resolver::resolve`].
///
/// # Errors
///
/// As [`Resolver::resolve`].
pub async fn resolve(target: &Target) -> Result<Place, TargetError> {
    Resolver::default().resolve(target).await
}

/// The host side of a namespace that must not be the agent's own.
fn foreign(namespace: &Namespace) -> Result<Place, TargetError> {
    if namespace.is_own()? {
        let cause = "it is in shaper-agent's own network namespace, whose interfaces it shares with everything else there";
        return Err(TargetError::new(Reason::WrongKind, &namespace.object, cause)
            .next("limit it by its cgroup (--cgroup PATH), or by its container's name (--container NAME)"));
    }
    uplink::host_side(namespace).map(Place::Interface)
}
