//! Where cgroup hierarchies are mounted.

use std::{ffi::OsString, fs, io, os::unix::ffi::OsStringExt as _, path::PathBuf};

/// A mounted hierarchy, seen from its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    /// The options of a version 1 hierarchy, its controllers among them; none of version 2.
    pub(super) version_1: Option<Vec<String>>,
}

/// The hierarchies that this process sees whole.
pub(super) fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// The root of the version 2 cgroups.
///
/// # Errors
///
/// It is not to be seen here: why, and what would help.
pub(crate) fn unified() -> Result<PathBuf, &'static str> {
    let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let lines = mountinfo.split(|byte| *byte == b'\n').filter_map(mount);
    let mut points =
        lines.filter(|(_, mount)| mount.version_1.is_none()).map(|(_, mount)| mount.point).peekable();
    if points.peek().is_none() {
        return Err(
            "no version 2 cgroup hierarchy is mounted here; `mkdir -p /run/cgroup2 && mount -t cgroup2 none \
                    /run/cgroup2` mounts one",
        );
    }
    // Only the root has no type.
    points.find(|point| !point.join("cgroup.type").exists()).ok_or(
        "only a part of the version 2 cgroups is to be seen here; a container needs the host's: `-v \
         /sys/fs/cgroup:/sys/fs/cgroup`",
    )
}

/// Reads `/proc/self/mountinfo`; proc(5) has its form.
fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    // Part of a hierarchy, as a container sees it, leads to no other container's cgroup.
    let whole = |(root, mount): (&[u8], Mount)| (root == b"/").then_some(mount);
    mountinfo.split(|byte| *byte == b'\n').filter_map(mount).filter_map(whole).collect()
}

/// A line's hierarchy, and which cgroup of it is mounted.
fn mount(line: &[u8]) -> Option<(&[u8], Mount)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    // Optional fields come before a dash.
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    let version_1 = match kind {
        b"cgroup" => {
            let options = options.split(|byte| *byte == b',');
            Some(options.map(|option| String::from_utf8_lossy(option).into_owned()).collect())
        }
        b"cgroup2" => None,
        _ => return None,
    };
    Some((root, Mount { point: unescape(point).into(), version_1 }))
}

/// White space and backslashes are written as a backslash and three octal digits.
fn unescape(text: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let code = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                plain.push(code);
                rest = &tail[3..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(plain)
}

impl Mount {
    /// The directory of the cgroup `path`, which is absolute within the hierarchy.
    pub(super) fn directory(&self, path: &str) -> PathBuf {
        self.point.join(path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const HYBRID: &str = "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 /docker/1f /mnt/part rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 / /mnt/a\\040b rw,relatime shared:4 master:1 - cgroup2 none rw
";

    #[test]
    fn whole_hierarchies_are_found() {
        let mounts = parse(HYBRID.as_bytes());
        let [cpu, unified] = mounts.as_slice() else { panic!("{mounts:?}") };
        assert_eq!(cpu.version_1.as_deref(), Some(["rw", "cpu", "cpuacct"].map(str::to_owned).as_slice()));
        assert_eq!(cpu.directory("/docker/1f"), Path::new("/sys/fs/cgroup/cpu,cpuacct/docker/1f"));
        assert_eq!(unified.point, Path::new("/mnt/a b"));
        assert_eq!(unified.version_1, None);
        assert_eq!(unified.directory("/"), Path::new("/mnt/a b/"));
    }

    #[test]
    fn lines_cut_short_are_passed_over() {
        for end in 0..HYBRID.len() {
            parse(&HYBRID.as_bytes()[..end]);
        }
    }
}
