//! The file of a package: what is in it, and what dpkg keeps of it where it is installed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::tool;

/// Unpacks a package's files. `dpkg-deb --extract` would put folders in the place of links
/// to folders, such as those by which `/lib` is in `/usr`.
///
/// # Errors
///
/// It is damaged, or its files cannot be written.
pub(crate) fn unpack(package: &Path, root: &Path) -> Result<()> {
    let mut files =
        Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn()?;
    let stdout = files.stdout.take().context("standard output is piped")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--file=-", "--directory"]);
    let unpacked = tar.arg(root).stdin(stdout).status().context("cannot run tar");
    let read = files.wait()?;
    ensure!(unpacked?.success() && read.success(), "cannot unpack {}", package.display());
    Ok(())
}

/// The files of a package as dpkg lists them, by their whole paths.
///
/// # Errors
///
/// It is damaged.
pub(crate) fn list(package: &Path) -> Result<String> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--contents").arg(package);
    Ok(paths(&tool::read(command)?))
}

/// The paths in what `dpkg-deb --contents` prints: mode, owner, size, date, time, path, and what a link leads to.
fn paths(contents: &str) -> String {
    contents
        .lines()
        .filter_map(|line| {
            let path = line.split_once(" ./")?.1;
            let path = path.split(" -> ").next()?.trim_end_matches('/');
            Some(format!("/{path}\n"))
        })
        .collect()
}

/// A package's name, and what dpkg would keep of it in its status.
///
/// # Errors
///
/// It is damaged.
pub(crate) fn describe(package: &Path) -> Result<(String, String)> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--field").arg(package);
    let control = tool::read(command)?;
    entry(&control).with_context(|| format!("{} has no name", package.display()))
}

/// The same of the fields of a package.
fn entry(control: &str) -> Option<(String, String)> {
    let field = |key: &str| control.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let name = field("Package:")?;
    // dpkg qualifies the names of those that can be installed for several processors at once.
    let name = match (field("Multi-Arch:"), field("Architecture:")) {
        (Some("same"), Some(architecture)) => format!("{name}:{architecture}"),
        _ => name.to_owned(),
    };
    Some((name, control.trim_end().replacen('\n', "\nStatus: install ok installed\n", 1) + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_package() {
        let contents = "\
drwxr-xr-x root/root         0 2024-01-01 10:00 ./
drwxr-xr-x root/root         0 2024-01-01 10:00 ./usr/lib/
-rw-r--r-- root/root        12 2024-01-01 10:00 ./usr/share/a file
lrwxrwxrwx root/root         0 2024-01-01 10:00 ./usr/lib/libx.so -> libx.so.1
";
        assert_eq!(paths(contents), "/\n/usr/lib\n/usr/share/a file\n/usr/lib/libx.so\n");
    }

    #[test]
    fn dpkg_knows_what_was_unpacked() {
        let control =
            "Package: libx1\nVersion: 1.2-3\nArchitecture: arm64\nMulti-Arch: same\nDescription: x\n y\n";
        let (name, entry) = entry(control).unwrap();
        assert_eq!(name, "libx1:arm64");
        assert_eq!(
            entry,
            "Package: libx1\nStatus: install ok installed\nVersion: 1.2-3\nArchitecture: arm64\nMulti-Arch: same\n\
             Description: x\n y\n"
        );
    }
}
