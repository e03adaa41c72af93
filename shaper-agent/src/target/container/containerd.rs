//! containerd, by the state of its running tasks: `<namespace>/<id>/{init.pid,config.json}`.
//!
//! Its clients write their own names into the annotations of a task: nerdctl, and Kubernetes with the container's, the
//! pod's and the pod's namespace.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;

use super::{
    super::{cgroup::Scope, process},
    Answer, Candidate, Fit,
};

/// The names of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
struct Labels {
    #[serde(rename = "nerdctl/name")]
    nerdctl: Option<String>,
    #[serde(rename = "nerdctl/namespace")]
    nerdctl_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.cri.container-type")]
    kind: Option<String>,
    #[serde(rename = "io.kubernetes.cri.container-name")]
    container: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-name")]
    pod: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-namespace")]
    pod_namespace: Option<String>,
}

/// The part of a task's `config.json` that matters here.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Option<Labels>,
}

/// The names of tasks that have been read. They never change, but there may be hundreds, and each is long.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<PathBuf, (Version, Labels)>>);

/// The inode of a file, and when it was written.
type Version = (u64, i64, i64);

impl Known {
    fn labels(&self, task: &Path) -> Labels {
        let config = task.join("config.json");
        let Ok(metadata) = fs::metadata(&config) else { return Labels::default() };
        let version = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, labels)) = known.get(task)
            && *read == version
        {
            return labels.clone();
        }
        let text = fs::read(&config).unwrap_or_default();
        // Half written: it is read again when its process is there.
        let Ok(config) = serde_json::from_slice::<Config>(&text) else { return Labels::default() };
        let labels = config.annotations.unwrap_or_default();
        known.insert(task.to_owned(), (version, labels.clone()));
        labels
    }

    /// Forgets the tasks of a directory that are not in `tasks`.
    fn retain(&self, root: &Path, tasks: &[(String, PathBuf)]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.keys().filter(|path| path.starts_with(root)).count() > tasks.len() {
            known.retain(|path, _| !path.starts_with(root) || tasks.iter().any(|(_, task)| task == path));
        }
    }
}

pub(super) fn ask(root: &Path, name: &str, known: &Known) -> Answer {
    let (candidates, words, denied) = match candidates(root, name, known) {
        Ok((candidates, tasks)) => {
            (candidates, format!("none of its {tasks} running containers has this name"), false)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Vec::new(), "not installed, or not running".to_owned(), false)
        }
        Err(error) => {
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            (Vec::new(), format!("cannot be read: {error}"), denied)
        }
    };
    Answer { engine: format!("containerd in {}", root.display()), candidates, words, denied }
}

/// The running process of the container `id`, in whatever namespace.
pub(super) fn process(root: &Path, id: &str) -> Option<u32> {
    let namespaces = fs::read_dir(root).ok()?.flatten();
    namespaces.map(|namespace| namespace.path().join(id)).find_map(|task| process_of(&task, id))
}

/// What the container `id` may be called; none if it is not known here, or if only its client knows.
pub(super) fn names(root: &Path, id: &str) -> Option<Vec<String>> {
    let namespaces = fs::read_dir(root).ok()?.flatten();
    let task = namespaces.map(|namespace| namespace.path().join(id)).find(|task| task.is_dir())?;
    let namespace = task.parent()?.file_name()?.to_str()?;
    // Docker keeps its names for itself.
    (namespace != "moby").then(|| Known::default().labels(&task).spellings(namespace, id))
}

fn process_of(task: &Path, id: &str) -> Option<u32> {
    super::number_in(&task.join("init.pid")).filter(|pid| process::is_of(*pid, id))
}

/// The tasks that the name fits, and how many there are.
fn candidates(root: &Path, name: &str, known: &Known) -> io::Result<(Vec<Candidate>, usize)> {
    let mut tasks = Vec::new();
    for namespace in fs::read_dir(root)? {
        let namespace = namespace?;
        let Some(label) = namespace.file_name().to_str().map(str::to_owned) else { continue };
        // A namespace can go while this looks.
        for task in fs::read_dir(namespace.path()).into_iter().flatten().flatten() {
            tasks.push((label.clone(), task.path()));
        }
    }
    let mut fitting = Vec::new();
    for (namespace, task) in &tasks {
        let Some(id) = task.file_name().and_then(|id| id.to_str()) else { continue };
        let labels = known.labels(task);
        let Some(fit) = labels.fit(name, namespace, id) else { continue };
        let scope = if labels.is_sandbox() { Scope::Pod } else { Scope::Container };
        fitting.push(Candidate {
            fit,
            id: id.to_owned(),
            shown: labels.shown(namespace, id),
            pid: process_of(task, id),
            scope,
        });
    }
    known.retain(root, &tasks);
    // What has ended stays here until its client removes it, beside the one that takes its place.
    if fitting.iter().any(|candidate| candidate.pid.is_some()) {
        fitting.retain(|candidate| candidate.pid.is_some());
    }
    Ok((fitting, tasks.len()))
}

impl Labels {
    fn is_sandbox(&self) -> bool {
        self.kind.as_deref() == Some("sandbox")
    }

    fn fit(&self, asked: &str, namespace: &str, id: &str) -> Option<Fit> {
        if let Some(fit) = Fit::of(asked, id, self.spellings(namespace, id).iter().map(String::as_str)) {
            return Some(fit);
        }
        let (asked_namespace, rest) = asked.split_once('/')?;
        (asked_namespace == namespace && id.starts_with(rest)).then_some(Fit::Prefix)
    }

    /// Everything that the container may be called, but for the beginnings of its id.
    fn spellings(&self, namespace: &str, id: &str) -> Vec<String> {
        let mut spellings = vec![id.to_owned(), format!("{namespace}/{id}")];
        if let Some(name) = &self.nerdctl {
            spellings.push(name.clone());
            spellings.push(format!("{}/{name}", self.nerdctl_namespace.as_deref().unwrap_or(namespace)));
        }
        let pod = self
            .pod_namespace
            .as_ref()
            .zip(self.pod.as_ref())
            .map(|(namespace, pod)| format!("{namespace}/{pod}"));
        if let (Some(pod), true) = (&pod, self.is_sandbox()) {
            spellings.push(pod.clone());
        }
        if let Some(container) = &self.container {
            spellings.push(container.clone());
            spellings.extend(pod.map(|pod| format!("{pod}/{container}")));
        }
        spellings
    }

    /// The last spelling is the longest.
    fn shown(&self, namespace: &str, id: &str) -> String {
        let longest = self.spellings(namespace, id).pop().unwrap_or_default();
        if longest.ends_with(id) { longest } else { format!("{longest} ({})", id.get(..12).unwrap_or(id)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
        "io.kubernetes.cri.sandbox-name":"edge-7","io.kubernetes.cri.sandbox-namespace":"plant"}}"#;
    const CAMERA: &str = r#"{"annotations":{"io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.container-name":"camera","io.kubernetes.cri.sandbox-name":"edge-7",
        "io.kubernetes.cri.sandbox-namespace":"plant"}}"#;
    const NERDCTL: &str = r#"{"annotations":{"nerdctl/name":"web","nerdctl/namespace":"default"}}"#;
    /// As Docker writes it.
    const BARE: &str = r#"{"ociVersion":"1.0.2-dev","process":{}}"#;

    fn tasks() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (task, config) in
            [("k8s.io/aa11", POD), ("k8s.io/aa22", CAMERA), ("default/bb33", NERDCTL), ("moby/cc44", BARE)]
        {
            let task = root.path().join(task);
            fs::create_dir_all(&task).unwrap();
            fs::write(task.join("config.json"), config).unwrap();
        }
        root
    }

    #[test]
    fn every_spelling_finds_its_container() {
        let (root, known) = (tasks(), Known::default());
        let found = |name: &str| {
            let (mut candidates, tasks) = candidates(root.path(), name, &known).unwrap();
            assert_eq!(tasks, 4);
            candidates.sort_by_key(|candidate| candidate.fit);
            candidates.into_iter().map(|one| (one.id, one.fit, one.scope)).collect::<Vec<_>>()
        };
        let one = |id: &str, fit, scope| vec![(id.to_owned(), fit, scope)];
        assert_eq!(found("aa11"), one("aa11", Fit::Id, Scope::Pod));
        assert_eq!(found("plant/edge-7"), one("aa11", Fit::Name, Scope::Pod));
        assert_eq!(found("plant/edge-7/camera"), one("aa22", Fit::Name, Scope::Container));
        assert_eq!(found("camera"), one("aa22", Fit::Name, Scope::Container));
        assert_eq!(found("web"), one("bb33", Fit::Name, Scope::Container));
        assert_eq!(found("default/web"), one("bb33", Fit::Name, Scope::Container));
        assert_eq!(found("default/bb"), one("bb33", Fit::Prefix, Scope::Container));
        assert_eq!(found("moby/cc44"), one("cc44", Fit::Name, Scope::Container));
        assert_eq!(found("c"), one("cc44", Fit::Prefix, Scope::Container));
        assert_eq!(found("aa").len(), 2);
        assert_eq!(found("edge-7"), []);
        assert_eq!(found("default/aa11"), []);
        assert_eq!(names(root.path(), "aa22").unwrap().pop().unwrap(), "plant/edge-7/camera");
    }

    #[test]
    fn names_are_forgotten_with_their_tasks() {
        let (root, known) = (tasks(), Known::default());
        candidates(root.path(), "web", &known).unwrap();
        assert_eq!(known.0.lock().unwrap().len(), 4);
        fs::remove_dir_all(root.path().join("moby/cc44")).unwrap();
        candidates(root.path(), "web", &known).unwrap();
        assert_eq!(known.0.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_config_that_is_half_written_is_read_again() {
        let (root, known) = (tasks(), Known::default());
        let config = root.path().join("default/bb33/config.json");
        fs::write(&config, &NERDCTL[..30]).unwrap();
        assert_eq!(candidates(root.path(), "web", &known).unwrap().0, []);
        fs::write(&config, NERDCTL).unwrap();
        assert_eq!(candidates(root.path(), "web", &known).unwrap().0.len(), 1);
    }
}
