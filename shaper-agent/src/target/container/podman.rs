//! Podman, by the storage that all its versions share with each other.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    super::{cgroup::Scope, engines::Storage, process},
    Answer, Candidate, Fit, shown,
};

/// The lists of containers in a storage: those that last, and those that go when they end (`podman run --rm`).
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// What a list says of each container.
#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

pub(super) fn ask(storage: &Storage, name: &str) -> Answer {
    let (candidates, words, denied) = match candidates(storage, name) {
        Ok((candidates, known)) => {
            (candidates, format!("none of its {known} containers has this name"), false)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Vec::new(), "not installed".to_owned(), false)
        }
        Err(error) => {
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            (Vec::new(), format!("cannot be read: {error}"), denied)
        }
    };
    Answer { engine: format!("Podman in {}", storage.graph.display()), candidates, words, denied }
}

/// What the container `id` is called; none if it is not known here.
pub(super) fn names(storage: &Storage, id: &str) -> Option<Vec<String>> {
    let listed = listed(storage).ok()?;
    listed.into_iter().find(|(_, listed)| listed.id == id).map(|(_, listed)| listed.names)
}

/// The containers that the name fits, and how many there are.
fn candidates(storage: &Storage, name: &str) -> io::Result<(Vec<Candidate>, usize)> {
    let listed = listed(storage)?;
    let known = listed.len();
    let candidate = |(directory, Listed { id, names }): (PathBuf, Listed)| {
        let fit = Fit::of(name, &id, names.iter().map(String::as_str))?;
        Some(Candidate {
            fit,
            shown: shown(names.first().map_or("", String::as_str), &id),
            // Podman leaves the file when the container ends.
            pid: super::number_in(&directory.join(&id).join("userdata/pidfile"))
                .filter(|pid| process::is_of(*pid, &id)),
            id,
            scope: Scope::Container,
        })
    };
    Ok((listed.into_iter().filter_map(candidate).collect(), known))
}

/// All containers, each with the directory in which its running state is.
fn listed(storage: &Storage) -> io::Result<Vec<(PathBuf, Listed)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(&storage.graph)? {
        // One directory a storage driver: overlay-containers, vfs-containers…
        let driver = entry?.file_name();
        if !driver.to_str().is_some_and(|driver| driver.ends_with("-containers")) {
            continue;
        }
        let running = storage.run.join(&driver);
        for list in LISTS.iter().flat_map(|list| [storage.graph.join(&driver).join(list), running.join(list)])
        {
            all.extend(read(&list)?.into_iter().map(|listed| (running.clone(), listed)));
        }
    }
    Ok(all)
}

fn read(list: &Path) -> io::Result<Vec<Listed>> {
    match fs::read(list) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
