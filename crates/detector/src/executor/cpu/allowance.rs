//! How much memory this process may use.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups of version 2 are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The lowest memory limit of the control groups that this process is in, in bytes; nothing where none limits it. Groups of
/// version 1 are not looked at.
pub(super) fn memory() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest(Path::new(MOUNT), own_group(&groups)?, &|path| fs::read_to_string(path).ok())
}

/// The path of the version 2 group in `/proc/self/cgroup`.
fn own_group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// The lowest limit from `group` up to `mount`.
fn lowest(mount: &Path, group: &str, read: &dyn Fn(PathBuf) -> Option<String>) -> Option<usize> {
    let directory = mount.join(group);
    let directories = directory.ancestors().take_while(|directory| directory.starts_with(mount));
    directories.filter_map(|directory| read(directory.join("memory.max"))?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let group = own_group("1:name=systemd:/a\n0::/pod/container\n").unwrap();
        let limits = |files: &'static [(&'static str, &'static str)]| {
            lowest(Path::new("/cg"), group, &|path| {
                let found = files.iter().find(|(name, _)| Path::new(name) == path);
                found.map(|(_, text)| (*text).to_owned())
            })
        };
        assert_eq!(
            limits(&[("/cg/pod/container/memory.max", "max\n"), ("/cg/pod/memory.max", "5000\n")]),
            Some(5000)
        );
        assert_eq!(
            limits(&[("/cg/pod/container/memory.max", "10\n"), ("/cg/memory.max", "5000\n")]),
            Some(10)
        );
        assert_eq!(limits(&[("/memory.max", "1\n"), ("/cg/pod/memory.max", "max\n")]), None);
        assert_eq!(own_group("3:memory:/docker/1\n"), None);
    }
}
