//! Processes that an engine leaves when it ends by force.

use std::{fs, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Kills the processes that were started with a path below `directory`, and their children.
pub(crate) fn kill_below(directory: &Path) {
    for process in below(directory) {
        // It may have ended by itself.
        let _ = kill(process, Signal::SIGKILL);
    }
}

/// The processes that were started with a path below `directory`, which is the test's own: containerd and its shims; and
/// their children, the containers.
fn below(directory: &Path) -> Vec<Pid> {
    let directory = directory.as_os_str().as_encoded_bytes();
    let processes: Vec<(i32, i32, bool)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            let ours = line.windows(directory.len()).any(|part| part == directory);
            Some((pid, parent, ours && pid != i32::try_from(std::process::id()).ok()?))
        })
        .collect();
    let ours: Vec<_> = processes.iter().filter(|(.., ours)| *ours).map(|(pid, ..)| *pid).collect();
    let belongs = |(pid, parent, _): &(i32, i32, bool)| ours.contains(pid) || ours.contains(parent);
    processes.iter().filter(|process| belongs(process)).map(|(pid, ..)| Pid::from_raw(*pid)).collect()
}
