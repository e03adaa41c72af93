//! Which cgroups a process is in.

use std::{fs, io};

/// One line of `/proc/PID/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// The controllers, or `name=…`; none for version 2.
    controllers: Vec<String>,
    path: String,
}

/// The cgroups of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership(Vec<Line>);

impl Membership {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(format!("/proc/{pid}/cgroup"))?))
    }

    pub(super) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            // A path may hold colons.
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let controllers = match number {
                "0" => Vec::new(),
                _ => controllers.split(',').map(str::to_owned).collect(),
            };
            // The kernel marks the cgroup of a process that outlived it.
            let path = path.strip_suffix(" (deleted)").unwrap_or(path).to_owned();
            Some(Line { controllers, path })
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Its version 2 cgroup.
    pub(super) fn unified(&self) -> Option<&str> {
        self.0.iter().find(|line| line.controllers.is_empty()).map(|line| line.path.as_str())
    }

    /// Its version 1 cgroups that are not the root: a controller of the hierarchy, and the path.
    pub(super) fn version_1(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = |line: &Line| !line.controllers.is_empty() && line.path != "/";
        self.0
            .iter()
            .filter(move |line| named(line))
            .map(|line| (line.controllers[0].as_str(), line.path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let text = "9:name=systemd:/docker/1f\n4:cpu,cpuacct:/docker/1f\n3:cpuset:/\n0::/docker/1f:a\n";
        let membership = Membership::parse(text);
        assert_eq!(membership.unified(), Some("/docker/1f:a"));
        let version_1: Vec<_> = membership.version_1().collect();
        assert_eq!(version_1, [("name=systemd", "/docker/1f"), ("cpu", "/docker/1f")]);
        assert_eq!(Membership::parse("9:pids:/a\n").unified(), None);
        assert_eq!(Membership::parse("nonsense\n::\n").unified(), None);
    }
}
