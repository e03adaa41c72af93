//! The container that a name means, whichever engine runs it.

mod awaited;
mod containerd;
pub(super) mod docker;
pub(super) mod http;
mod podman;

use std::{fs, path::Path};

pub(super) use self::{awaited::Awaited, containerd::Known};
use super::{
    cgroup::Scope,
    engines::Engines,
    error::{Reason, TargetError},
    process,
};

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) id: String,
    /// Its first process, in the host's numbers.
    pub(super) pid: u32,
    pub(super) scope: Scope,
    /// Its engine does not say yet that it runs: its network may not be complete.
    pub(super) starting: bool,
}

/// How a name fits a container; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Id,
    Name,
    /// The beginning of the id.
    Prefix,
}

impl Fit {
    /// How `name` fits a container with this id and these names.
    fn of<'a>(name: &str, id: &str, mut names: impl Iterator<Item = &'a str>) -> Option<Self> {
        if name == id {
            Some(Self::Id)
        } else if names.any(|other| other == name) {
            Some(Self::Name)
        } else {
            id.starts_with(name).then_some(Self::Prefix)
        }
    }
}

/// A container that an engine knows by the name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    fit: Fit,
    id: String,
    /// As it is listed when the name fits several.
    shown: String,
    /// Its first process, if it runs.
    pid: Option<u32>,
    scope: Scope,
}

/// What one engine says to a name.
#[derive(Debug)]
struct Answer {
    engine: String,
    candidates: Vec<Candidate>,
    /// What it says if there are no candidates.
    words: String,
    denied: bool,
}

/// Finds the container `name`. One that does not run is put into `awaited`.
pub(super) async fn find(
    name: &str,
    engines: &Engines,
    known: &Known,
    awaited: &Awaited,
) -> Result<Running, TargetError> {
    let object = object(name);
    let mut answers = Vec::new();
    for socket in &engines.docker {
        answers.push(docker::ask(socket, name).await);
    }
    for storage in &engines.podman {
        answers.push(podman::ask(storage, name));
    }
    for tasks in &engines.containerd {
        answers.push(containerd::ask(tasks, name, known));
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for candidate in answers.iter().flat_map(|answer| &answer.candidates) {
        // Docker runs its containers with containerd, which knows their ids as well.
        match candidates.iter_mut().find(|known| known.id == candidate.id) {
            Some(known) => known.fit = known.fit.min(candidate.fit),
            None => candidates.push(candidate.clone()),
        }
    }
    let best = candidates.iter().map(|candidate| candidate.fit).min();
    candidates.retain(|candidate| Some(candidate.fit) == best);
    match candidates.as_slice() {
        [] => Err(not_found(&object, &answers)),
        [one] => match one.pid.or_else(|| early(&one.id, engines)) {
            Some(pid) => {
                let starting = one.pid.is_none();
                Ok(Running { id: one.id.clone(), pid, scope: one.scope, starting })
            }
            None => {
                awaited.put(name, one.id.clone(), one.scope);
                Err(not_running(object))
            }
        },
        several => {
            let shown: Vec<_> = several.iter().map(|candidate| candidate.shown.as_str()).collect();
            Err(TargetError::new(
                Reason::Ambiguous,
                object,
                format!("the name fits several: {}", shown.join(", ")),
            )
            .next("give more of one's name or id"))
        }
    }
}

/// The process of the container `id` before Docker says that it runs, and before its program does. containerd tells of it
/// once it is set up; the system does as soon as there is one.
fn early(id: &str, engines: &Engines) -> Option<u32> {
    let told = engines.containerd.iter().find_map(|tasks| containerd::process(tasks, id));
    told.or_else(|| process::starting(id))
}

/// What the container `id` may be called; none if no engine says.
pub(super) async fn names(id: &str, engines: &Engines) -> Option<Vec<String>> {
    if let Some(names) = engines.containerd.iter().find_map(|tasks| containerd::names(tasks, id)) {
        return Some(names);
    }
    if let Some(names) = engines.podman.iter().find_map(|storage| podman::names(storage, id)) {
        return Some(names);
    }
    for socket in &engines.docker {
        if let Some(name) = docker::name(socket, id).await {
            return Some(vec![name]);
        }
    }
    None
}

/// What a container is called in messages.
pub(super) fn object(name: &str) -> String {
    format!("container `{name}`")
}

/// The container is there, but has no process, or no network yet.
pub(super) fn not_running(object: String) -> TargetError {
    TargetError::new(Reason::NotRunning, object, "it is there, but does not run")
        .next("start it; its limit comes into force then")
}

/// A container in a list, with as much of its id as engines show.
fn shown(name: &str, id: &str) -> String {
    format!("{name} ({})", id.get(..12).unwrap_or(id))
}

/// The number that is all that a file holds.
fn number_in(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|number| *number != 0)
}

fn not_found(object: &str, answers: &[Answer]) -> TargetError {
    let said: Vec<_> = answers.iter().map(|answer| format!("{}: {}", answer.engine, answer.words)).collect();
    let cause = format!("no engine knows it ({})", said.join("; "));
    if answers.iter().any(|answer| answer.denied) {
        return TargetError::new(Reason::NotPermitted, object, cause)
            .next("run shaper-agent as root, or as a user who may read what was denied");
    }
    TargetError::new(Reason::NotFound, object, cause)
        .next("`docker ps -a`, `podman ps -a` or `crictl ps -a` lists the names")
}
