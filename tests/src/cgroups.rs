//! Cgroups that container engines leave when their last container has gone.

use std::{fs, path::Path};

/// Removes the cgroup `name` with those in it from every hierarchy, as far as they are there and empty.
pub(crate) fn remove(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        remove_directory(&hierarchy.join(name));
    }
}

fn remove_directory(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_directory(&entry.path());
        }
    }
    // One that still has processes stays.
    let _ = fs::remove_dir(directory);
}
