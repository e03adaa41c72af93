//! A Debian system of another processor in a folder: what programs for it are linked with, and what their images are
//! made of. Nothing of it is installed on this machine.
//!
//! Only the packages that images have something of are in it, which this machine's own system tells: a release has the
//! same libraries in the same packages for every processor. For linking, that is enough: all that GStreamer's development
//! packages have besides is the same on every processor, and this machine has it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::architecture::Architecture;
use super::recipe::{LIBRARIES, RECIPES};
use super::system::{Package, System};
use super::tree::Tree;
use crate::building::Building;
use crate::debian::{apt::Apt, deb};
use crate::interrupt::Interrupt;
use crate::lock;
use crate::machine::has_program;
use crate::workspace::Workspace;

/// What every image has something of: its system's name, the authorities that web servers are verified by, and what every
/// Rust program needs.
const ALWAYS: [&str; 4] = ["base-files", "ca-certificates", "libc6", "libgcc-s1"];
/// Folders that Debian has merged into `/usr`, and where they are there.
const MERGED: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];
/// The file with this machine's packages that it follows, which only a whole one has.
const FOLLOWED: &str = "followed";

/// A system in a folder.
#[derive(Debug)]
pub(super) struct Sysroot {
    root: PathBuf,
    architecture: Architecture,
}

impl Sysroot {
    /// The system for `architecture`, of this machine's own release of Debian; fetched if it is not there yet, or this
    /// machine's packages have changed since.
    ///
    /// # Errors
    ///
    /// This is not Debian, a package cannot be had, or there is no compiler for that processor.
    pub(super) fn make(
        workspace: &Workspace,
        architecture: Architecture,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let release = release(Path::new("/etc/os-release"))?;
        let compiler = compiler(architecture);
        ensure!(
            has_program(&compiler),
            "{compiler} is not there, which links programs for {}: install Debian's packages gcc-{} and \
             libc6-dev-{}-cross (`cargo xtask setup`)",
            architecture.name(),
            architecture.triplet().replace('_', "-"),
            architecture.name(),
        );
        let followed = followed()?;
        let lines: String =
            followed.iter().map(|package| format!("{} {}\n", package.name, package.version)).collect();
        let folder = workspace.target().join("sysroot");
        let root = folder.join(architecture.name());
        let is_whole = || fs::read_to_string(root.join(FOLLOWED)).is_ok_and(|text| text == lines);
        if !is_whole() {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let _lock = lock::wait(&folder, interrupt)?;
            // Another process may have done it meanwhile.
            if !is_whole() {
                println!(
                    "   fetching {} packages of Debian {release} for {}",
                    followed.len(),
                    architecture.name()
                );
                let building = Building::new(&root)?;
                fetch(&building.folder, architecture, &release, &followed, interrupt)
                    .with_context(|| format!("cannot get Debian's libraries for {}", architecture.name()))?;
                fs::write(building.folder.join(FOLLOWED), &lines)?;
                building.finish(&root)?;
            }
        }
        Ok(Self { root, architecture })
    }

    /// The processor that it is for.
    pub(super) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Its root.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes cargo build for it.
    pub(super) fn prepare(&self, cargo: &mut Command) {
        let variable = |name: &str| {
            format!("CARGO_TARGET_{}_{name}", self.architecture.target().to_uppercase().replace('-', "_"))
        };
        let libraries = self.root.join("usr/lib").join(self.architecture.triplet());
        // Words apart from each other, as the folder's name may have spaces.
        let flags = [
            format!("-Lnative={}", libraries.display()),
            // Where the libraries' own libraries are.
            format!("-Clink-arg=-Wl,-rpath-link={}", libraries.display()),
        ];
        cargo
            .env(variable("LINKER"), compiler(self.architecture))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            // This machine's own descriptions of libraries: names and versions, which are the same there.
            .env("PKG_CONFIG_ALLOW_CROSS", "1")
            .env("PKG_CONFIG", "pkg-config");
    }
}

/// The compiler of C for it, by which rustc links, too.
fn compiler(architecture: Architecture) -> String {
    format!("{}-gcc", architecture.triplet())
}

/// This machine's packages that images have something of.
fn followed() -> Result<Vec<Package>> {
    let architecture = Architecture::of_this_machine().context("images are made on amd64 and arm64 only")?;
    let system = System::open(Path::new("/"), architecture)?;
    let mut packages: BTreeSet<String> = ALWAYS.map(str::to_owned).into();
    let mut tree = Tree::default();
    for recipe in &RECIPES {
        packages.extend(system.add_plugins(&mut tree, recipe.plugins)?);
    }
    for library in LIBRARIES {
        packages.extend(system.add_library(&mut tree, library)?);
    }
    // Some are there by two names, with the processor's and without.
    let suffix = format!(":{}", architecture.name());
    let plain = |names: BTreeSet<String>| -> BTreeSet<String> {
        names.into_iter().map(|name| name.trim_end_matches(&suffix).to_owned()).collect()
    };
    let mut packages = plain(packages);
    packages.extend(plain(system.licence_packages(&packages)?));
    system.describe(&packages)
}

/// The name of the release that the file `os-release` describes.
fn release(os_release: &Path) -> Result<String> {
    let text = fs::read_to_string(os_release).unwrap_or_default();
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"'));
    match (value("ID="), value("VERSION_CODENAME=")) {
        (Some("debian"), Some(release)) => Ok(release.to_owned()),
        _ => bail!(
            "programs with GStreamer are built for another processor with Debian's packages for it, and this system \
             ({}) is no release of Debian: use `docker buildx build --platform linux/…` with deploy/Dockerfile, or a \
             machine of that kind; --only shaper can be made here",
            value("PRETTY_NAME=").unwrap_or("which does not say its name")
        ),
    }
}

/// Fetches packages into `root` and makes it a system that dpkg can be asked about.
fn fetch(
    root: &Path,
    architecture: Architecture,
    release: &str,
    packages: &[Package],
    interrupt: &Interrupt,
) -> Result<()> {
    for (name, to) in MERGED {
        fs::create_dir_all(root.join(to))?;
        symlink(to, root.join(name))?;
    }
    let folder = tempfile::tempdir_in(root).context("cannot make a temporary folder")?;
    let apt = Apt::new(folder.path().join("apt"), &[release], architecture.name(), interrupt)?;
    let names = packages.iter().map(|package| &package.name);
    let files = apt.download(names, &folder.path().join("packages"))?;
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info)?;
    let mut status = String::new();
    for file in files {
        interrupt.check()?;
        deb::unpack(&file, root)?;
        let (name, entry) = deb::describe(&file)?;
        fs::write(info.join(format!("{name}.list")), deb::list(&file)?)?;
        writeln!(status, "{entry}")?;
    }
    fs::write(root.join("var/lib/dpkg/status"), status)?;
    link_for_linker(&root.join("usr/lib").join(architecture.triplet()))
}

/// Gives every `libNAME.so.N` of a folder the name `libNAME.so`, by which linkers look for it.
fn link_for_linker(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name();
        let Some((library, version)) = name.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
        let link = folder.join(library);
        if library.ends_with(".so") && version.bytes().all(|byte| byte.is_ascii_digit()) && !link.exists() {
            symlink(&name, &link).with_context(|| format!("cannot make {}", link.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_finds_libraries() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        for name in ["libz.so.1.2", "libdw-0.1.so", "libx.so.10", "notes.1"] {
            fs::write(folder.join(name), name).unwrap();
        }
        symlink("libz.so.1.2", folder.join("libz.so.1")).unwrap();
        link_for_linker(folder).unwrap();
        assert_eq!(fs::read(folder.join("libz.so")).unwrap(), b"libz.so.1.2");
        assert_eq!(fs::read(folder.join("libx.so")).unwrap(), b"libx.so.10");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 7);
    }

    #[test]
    fn other_systems_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("os-release");
        fs::write(&file, "ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
        assert_eq!(release(&file).unwrap(), "bookworm");
        fs::write(&file, "PRETTY_NAME=\"Fedora 44\"\nID=fedora\nVERSION_CODENAME=\"\"\n").unwrap();
        let error = release(&file).unwrap_err().to_string();
        assert!(error.contains("Fedora 44") && error.contains("deploy/Dockerfile"), "{error}");
    }
}
