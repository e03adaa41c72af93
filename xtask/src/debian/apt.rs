//! Debian's packages through apt, with lists and a status of its own: what the host has installed plays no part,
//! and nothing is installed on it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::mirrors::{KEYRING, Mirrors};
use crate::interrupt::Interrupt;
use crate::tool;

/// The ending of a suite that apt takes only what is asked for from.
const BACKPORTS: &str = "-backports";

/// apt with a state of its own in a folder.
#[derive(Debug)]
pub(crate) struct Apt<'a> {
    folder: PathBuf,
    architecture: &'a str,
    interrupt: &'a Interrupt,
}

/// One package, of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version, as dpkg compares them.
    pub(crate) version: String,
    /// The size of its file, in bytes.
    pub(crate) size: u64,
}

/// What is wanted: a package, in the version given or the one that apt would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    name: String,
    version: Option<String>,
    /// The suite that its dependencies may come from although apt does not take anything from it by itself.
    suite: Option<String>,
}

impl Wanted {
    /// The package as the release has it.
    pub(crate) fn of_release(name: &str) -> Self {
        Self { name: name.into(), version: None, suite: None }
    }
}

impl<'a> Apt<'a> {
    /// Fetches the package lists of `releases` for `architecture` into `folder`, which must be empty.
    ///
    /// # Errors
    ///
    /// If no mirror is known or the lists cannot be fetched.
    pub(crate) fn new(
        folder: PathBuf,
        releases: &[&str],
        architecture: &'a str,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        for path in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(path))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let list = folder.join("sources.list");
        fs::write(&list, sources(&Mirrors::find()?, releases))
            .with_context(|| format!("cannot write {}", list.display()))?;
        let apt = Self { folder, architecture, interrupt };
        let mut update = apt.command("apt-get");
        // Else a list that cannot be fetched is a warning, and packages are missing later.
        update.args(["--error-on=any", "update"]);
        tool::run(update, interrupt).context(
            "Debian's package lists could not be fetched (is there a network, and is the mirror right?)",
        )?;
        Ok(apt)
    }

    /// `program` of apt, made to look at this folder only.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        let options = [
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            "Dir::Etc::Preferences=/dev/null".into(),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            format!("Dir::State={folder}"),
            format!("Dir::State::Lists={folder}/lists"),
            "Dir::State::Status=/dev/null".into(),
            format!("Dir::Cache={folder}/cache"),
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures={}", self.architecture),
            "APT::Install-Recommends=false".into(),
            "APT::Sandbox::User=root".into(),
            "APT::Default-Release=".into(),
            "APT::Update::Post-Invoke=".into(),
            "APT::Update::Post-Invoke-Success=".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=3".into(),
        ];
        for option in options {
            command.arg("--option").arg(option);
        }
        command.env_remove("APT_CONFIG").env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// The newest version of the package `name` that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn newest(&self, name: &str, prefix: &str) -> Result<Wanted> {
        let mut command = self.command("apt-cache");
        command.args(["madison", name]);
        let table = tool::read(command)?;
        let mut newest: Option<(String, String)> = None;
        for (version, suite) in versions(&table).filter(|(version, _)| version.starts_with(prefix)) {
            if newest.as_ref().is_none_or(|(best, _)| is_newer(version, best)) {
                newest = Some((version.into(), suite.into()));
            }
        }
        let (version, suite) = newest.with_context(|| {
            format!("Debian's lists have no {name} of a version that begins with `{prefix}`")
        })?;
        let suite = suite.ends_with(BACKPORTS).then_some(suite);
        Ok(Wanted { name: name.into(), version: Some(version), suite })
    }

    /// `wanted` and everything that it depends on.
    ///
    /// # Errors
    ///
    /// If there is no such package or its dependencies cannot be met.
    pub(crate) fn closure(&self, wanted: &Wanted) -> Result<Vec<Package>> {
        let mut command = self.command("apt-get");
        let version = wanted.version.as_ref().map(|version| format!("={version}")).unwrap_or_default();
        command.args(["--quiet=2", "--print-uris", "install"]).arg(format!("{}{version}", wanted.name));
        if let Some(suite) = &wanted.suite {
            command.args(["--target-release", suite]);
        }
        let packages: Vec<Package> = tool::read(command)?
            .lines()
            .filter_map(|line| package(line.split_whitespace().nth(1)?, line))
            .collect();
        if packages.is_empty() {
            bail!("apt names no files for {}", wanted.name);
        }
        Ok(packages)
    }

    /// Downloads the packages with these names, or `NAME=VERSION`, and gives their files in `folder`, which is made.
    ///
    /// # Errors
    ///
    /// If a package cannot be fetched or is not what the lists say.
    pub(crate) fn download(
        &self,
        names: impl IntoIterator<Item = impl AsRef<OsStr>>,
        folder: &Path,
    ) -> Result<Vec<PathBuf>> {
        fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut download = self.command("apt-get");
        download.args(["--quiet", "download"]).args(names).current_dir(folder);
        tool::run(download, self.interrupt).context("packages could not be fetched")?;
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    }

    /// Downloads `packages` and unpacks them into `into`.
    ///
    /// # Errors
    ///
    /// If a package cannot be fetched or unpacked.
    pub(crate) fn unpack(&self, packages: &[Package], into: &Path) -> Result<()> {
        let folder = self.folder.join("debs");
        let names = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        for file in self.download(names, &folder)? {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(file).arg(into);
            tool::run(unpack, self.interrupt)?;
        }
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }
}

/// The lines that name the suites of `releases`: each has one of security updates, but for those of newer versions.
fn sources(mirrors: &Mirrors, releases: &[&str]) -> String {
    let line = |mirror: &str, suite: &str| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    releases
        .iter()
        .flat_map(|release| {
            let updates = (!release.ends_with(BACKPORTS))
                .then(|| line(&mirrors.security, &format!("{release}-security")));
            [Some(line(&mirrors.main, release)), updates]
        })
        .flatten()
        .collect()
}

/// Versions and suites in the table that `apt-cache madison` prints.
fn versions(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().filter_map(|line| {
        let mut columns = line.split('|').map(str::trim);
        let (_, version, source) = (columns.next()?, columns.next()?, columns.next()?);
        let (suite, _component) = source.split_whitespace().nth(1)?.split_once('/')?;
        Some((version, suite))
    })
}

/// Whether dpkg takes the version `left` for newer than `right`.
fn is_newer(left: &str, right: &str) -> bool {
    let status = Command::new("dpkg").args(["--compare-versions", left, "gt", right]).status();
    status.is_ok_and(|status| status.success())
}

/// A package from its file's name, `NAME_VERSION_ARCHITECTURE.deb`, in the line that `--print-uris` prints.
fn package(file: &str, line: &str) -> Option<Package> {
    let mut parts = file.strip_suffix(".deb")?.splitn(3, '_');
    let (name, version) = (parts.next()?, parts.next()?);
    // A colon cannot stand in a file's name.
    let version = version.replace("%3a", ":");
    Some(Package { name: name.into(), version, size: line.split_whitespace().nth(2)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
linux-image-amd64 | 7.3.4-1~bpo13+1 | http://mirror/debian trixie-backports/main amd64 Packages
linux-image-amd64 |  6.1.192-2 | http://mirror/debian-security bookworm-security/main amd64 Packages
";

    #[test]
    fn tables_of_versions() {
        let expected = [("7.3.4-1~bpo13+1", "trixie-backports"), ("6.1.192-2", "bookworm-security")];
        assert_eq!(versions(TABLE).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn versions_are_compared_as_dpkg_does() {
        assert!(is_newer("7.10.1-1", "7.9.4-1"));
        assert!(is_newer("7.3.4-1", "7.3.4-1~bpo13+1"));
        assert!(!is_newer("6.12.117-1", "6.12.117-1"));
    }

    #[test]
    fn packages_from_the_names_of_their_files() {
        let line = "'http://mirror/q.deb' qemu-system-x86_1%3a10.0.13+ds-0_amd64.deb 10278596 MD5Sum:0";
        let file = line.split_whitespace().nth(1).unwrap();
        let expected =
            Package { name: "qemu-system-x86".into(), version: "1:10.0.13+ds-0".into(), size: 10_278_596 };
        assert_eq!(package(file, line), Some(expected));
        assert_eq!(package("notes.txt", "a notes.txt 3"), None);
    }

    #[test]
    fn every_suite_is_listed() {
        let list = sources(&Mirrors::beside("http://mirror/debian"), &["bookworm", "trixie-backports"]);
        assert_eq!(list.lines().count(), 3);
        assert!(list.contains("http://mirror/debian-security bookworm-security main"), "{list}");
    }
}
