//! The Debian system that an image takes its libraries and plugins from: this machine's own, or one that lies in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::architecture::Architecture;
use super::elf;
use super::tree::Tree;

/// Where Debian keeps the authorities that web servers are verified by, and where programs look for all of them.
const AUTHORITIES: &str = "usr/share/ca-certificates/mozilla";
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// A Debian system.
#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
    architecture: Architecture,
    /// The package that each file belongs to, by its path without `/usr`.
    owners: BTreeMap<String, String>,
}

/// A Debian package that an image has something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Its architecture, which may be `all`.
    pub(super) architecture: String,
    /// The source package that it was built from.
    pub(super) source: String,
}

impl System {
    /// The system whose root is `root`, of this architecture.
    ///
    /// # Errors
    ///
    /// It is not a Debian system.
    pub(super) fn open(root: &Path, architecture: Architecture) -> Result<Self> {
        let info = root.join("var/lib/dpkg/info");
        let entries = fs::read_dir(&info).with_context(|| {
            format!(
                "{} cannot be read: images are made of Debian's packages. On other systems build deploy/Dockerfile instead",
                info.display()
            )
        })?;
        let mut owners = BTreeMap::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != "list") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let list =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            owners.extend(list.lines().map(|file| (without_usr(file), name.clone())));
        }
        Ok(Self { root: root.to_owned(), architecture, owners })
    }

    /// Adds `program` as `usr/bin/NAME`, with all the libraries that it needs, and gives the packages of these.
    ///
    /// # Errors
    ///
    /// It is for another processor, or a library is not there.
    pub(super) fn add_program(
        &self,
        tree: &mut Tree,
        name: &str,
        program: &[u8],
    ) -> Result<BTreeSet<String>> {
        let path = format!("usr/bin/{name}");
        tree.program(&path, program);
        self.add_needs(tree, Path::new(&path), program)
    }

    /// Adds plugins of GStreamer with all the libraries that they need, and gives the packages.
    ///
    /// # Errors
    ///
    /// A plugin or a library is not there.
    pub(super) fn add_plugins(&self, tree: &mut Tree, plugins: &[(&str, &str)]) -> Result<BTreeSet<String>> {
        let mut packages = BTreeSet::new();
        for (name, package) in plugins {
            let path = format!("usr/lib/{}/gstreamer-1.0/libgst{name}.so", self.architecture.triplet());
            let bytes = self.read(&path).with_context(|| {
                format!("GStreamer's plugin {name} is not there: install {package} (`cargo xtask setup`)")
            })?;
            packages.extend(self.add_needs(tree, Path::new(&path), &bytes)?);
            packages.insert(self.owner(&path)?);
            tree.file(&path, bytes);
        }
        Ok(packages)
    }

    /// Adds the library that linkers call `name`, with all that it needs, and gives the packages.
    ///
    /// # Errors
    ///
    /// It is not there, or something that it needs is not.
    pub(super) fn add_library(&self, tree: &mut Tree, name: &str) -> Result<BTreeSet<String>> {
        let path = format!("usr/lib/{}/lib{name}.so", self.architecture.triplet());
        let path = self
            .real(&path)
            .with_context(|| format!("the library {name} is not there: `cargo xtask setup` installs it"))?;
        let bytes = self.read(&path)?;
        let mut packages = self.add_needs(tree, Path::new(&path), &bytes)?;
        packages.insert(self.owner(&path)?);
        tree.file(&path, bytes);
        Ok(packages)
    }

    /// Adds the loader and the libraries that an ELF file needs, and those that they need.
    fn add_needs(&self, tree: &mut Tree, path: &Path, bytes: &[u8]) -> Result<BTreeSet<String>> {
        let (mut packages, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut waiting = vec![(path.to_owned(), elf::needs(bytes, path)?)];
        while let Some((path, needs)) = waiting.pop() {
            ensure!(
                needs.machine == self.architecture.machine(),
                "{} is not a program for {}",
                path.display(),
                self.architecture.name()
            );
            if let Some(loader) = &needs.loader {
                let at = format!("usr/{}", without_usr(loader).trim_start_matches('/'));
                tree.program(&at, self.read(loader)?);
                packages.insert(self.owner(loader)?);
            }
            for library in needs.libraries {
                if !seen.insert(library.clone()) {
                    continue;
                }
                let found = self.find(&library, &needs.folders, &path)?;
                let bytes = self.read(&found)?;
                packages.insert(self.owner(&found)?);
                // Programs and libraries are executable; the loader does not care.
                tree.file(&found, bytes.clone());
                let name = PathBuf::from(&found);
                let needs = elf::needs(&bytes, &name)?;
                waiting.push((name, needs));
            }
        }
        Ok(packages)
    }

    /// Where the loader would find `library`, in its image: without a slash in front, and below `usr`.
    fn find(&self, library: &str, folders: &[String], of: &Path) -> Result<String> {
        let triplet = self.architecture.triplet();
        let origin = format!("/{}", of.parent().unwrap_or(Path::new("")).display());
        let own =
            folders.iter().map(|folder| folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
        let usual =
            [format!("/usr/lib/{triplet}"), format!("/lib/{triplet}"), "/usr/lib".into(), "/lib".into()];
        for folder in own.chain(usual) {
            let path = format!("{}/{library}", folder.trim_start_matches('/'));
            if self.root.join(&path).is_file() {
                return Ok(format!("usr/{}", without_usr(&format!("/{path}")).trim_start_matches('/')));
            }
        }
        bail!("{} needs the library {library}, which is not there", of.display())
    }

    /// Adds the authorities that web servers are verified by, and gives their package.
    ///
    /// # Errors
    ///
    /// They are not installed.
    pub(super) fn add_certificates(&self, tree: &mut Tree) -> Result<String> {
        let folder = self.root.join(AUTHORITIES);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}: install ca-certificates", folder.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        // The one order, whatever the file system's is.
        files.sort();
        let mut all = Vec::new();
        for file in files {
            all.extend(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
            if all.last() != Some(&b'\n') {
                all.push(b'\n');
            }
        }
        tree.file(CERTIFICATES, all);
        Ok("ca-certificates".into())
    }

    /// Adds what scanners and lawyers look for: the name of the system, the list of `packages` and their licences.
    ///
    /// # Errors
    ///
    /// dpkg does not know a package, or a file is not there.
    pub(super) fn add_origin(&self, tree: &mut Tree, packages: &[Package]) -> Result<()> {
        tree.file("usr/lib/os-release", self.read("usr/lib/os-release")?);
        tree.link("etc/os-release", "../usr/lib/os-release");
        for package in packages {
            let status = self.dpkg_query(&["--status", &self.qualified(package)])?;
            tree.file(&format!("var/lib/dpkg/status.d/{}", package.name), status);
            let licence = licence(&package.name);
            tree.file(&licence, self.read(&licence)?);
        }
        Ok(())
    }

    /// The packages that have the licences of those with these names: some share one.
    ///
    /// # Errors
    ///
    /// A licence is not there.
    pub(super) fn licence_packages(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        names.iter().map(|name| self.owner(&licence(name))).collect()
    }

    /// What dpkg knows of the packages with these names, in order.
    ///
    /// # Errors
    ///
    /// dpkg does not know one of them.
    pub(super) fn describe(&self, names: &BTreeSet<String>) -> Result<Vec<Package>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments =
            vec!["--show", "--showformat", "${Package}\t${Version}\t${Architecture}\t${source:Package}\n"];
        arguments.extend(names.iter().map(String::as_str));
        let mut packages: Vec<_> = self
            .dpkg_query(&arguments)?
            .lines()
            .filter_map(|line| {
                let mut fields = line.split('\t').map(str::to_owned);
                Some(Package {
                    name: fields.next()?,
                    version: fields.next()?,
                    architecture: fields.next()?,
                    source: fields.next()?,
                })
            })
            .collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages.dedup();
        ensure!(packages.len() == names.len(), "dpkg knows {} of {} packages", packages.len(), names.len());
        Ok(packages)
    }

    fn qualified(&self, package: &Package) -> String {
        match package.architecture.as_str() {
            "all" => package.name.clone(),
            architecture => format!("{}:{architecture}", package.name),
        }
    }

    fn dpkg_query(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("dpkg-query");
        command.arg("--admindir").arg(self.root.join("var/lib/dpkg")).args(arguments).env("LC_ALL", "C");
        let output = command.output().context("cannot run dpkg-query")?;
        if !output.status.success() {
            bail!("dpkg-query: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("dpkg-query printed what is not text")
    }

    /// The package of the file that is at `path`.
    fn owner(&self, path: &str) -> Result<String> {
        let path = format!("/{}", path.trim_start_matches('/'));
        let real = self.real(&path)?;
        let owner = [&path, &real].into_iter().find_map(|path| self.owners.get(&without_usr(path)));
        owner.cloned().with_context(|| format!("{path} belongs to no package: it was not installed by dpkg"))
    }

    /// The file at `path` with all links resolved, as a path of the system.
    fn real(&self, path: &str) -> Result<String> {
        let file = self.root.join(path.trim_start_matches('/'));
        let real = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
        let root = self.root.canonicalize()?;
        Ok(format!("/{}", real.strip_prefix(&root).unwrap_or(&real).display()))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.root.join(path.trim_start_matches('/'));
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    }
}

/// Where the licence of a package is.
fn licence(package: &str) -> String {
    format!("usr/share/doc/{package}/copyright")
}

/// `/lib` is `/usr/lib`, but packages name their files by either.
fn without_usr(path: &str) -> String {
    path.strip_prefix("/usr").filter(|rest| rest.starts_with('/')).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_comes_with_its_libraries_and_they_with_their_packages() {
        if !Path::new("/var/lib/dpkg/info").exists() {
            println!("SKIPPED: not a Debian system");
            return;
        }
        let architecture = Architecture::of_this_machine().unwrap();
        let system = System::open(Path::new("/"), architecture).unwrap();
        let mut tree = Tree::default();
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        let packages = system.add_program(&mut tree, "test", &program).unwrap();
        let paths: Vec<_> = tree.entries().map(|(path, _)| path).collect();
        let libc = format!("usr/lib/{}/libc.so.6", architecture.triplet());
        assert!(paths.contains(&libc.as_str()) && paths.contains(&"usr/bin/test"), "{paths:?}");
        assert!(paths.iter().any(|path| path.contains("/ld-linux")), "{paths:?}");
        let described = system.describe(&packages).unwrap();
        let libc = described.iter().find(|package| package.name == "libc6").unwrap();
        assert_eq!((libc.architecture.as_str(), libc.source.as_str()), (architecture.name(), "glibc"));
        system.add_origin(&mut tree, &described).unwrap();
        assert!(tree.entries().any(|(path, _)| path == "usr/share/doc/libc6/copyright"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = System::open(directory.path(), Architecture::Amd64).unwrap_err().to_string();
        assert!(error.contains("deploy/Dockerfile"), "{error}");
        fs::create_dir_all(directory.path().join("var/lib/dpkg/info")).unwrap();
        let system = System::open(directory.path(), Architecture::of_this_machine().unwrap()).unwrap();
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = format!("{:#}", system.add_program(&mut Tree::default(), "test", &program).unwrap_err());
        assert!(error.contains(&directory.path().display().to_string()), "{error}");
        let other = System { architecture: Architecture::Arm64, ..system };
        if Architecture::of_this_machine() == Some(Architecture::Amd64) {
            let error = other.add_program(&mut Tree::default(), "test", &program).unwrap_err().to_string();
            assert!(error.contains("not a program for arm64"), "{error}");
        }
    }

    #[test]
    fn usr_is_one_with_the_root() {
        assert_eq!(without_usr("/usr/lib/x"), "/lib/x");
        assert_eq!(without_usr("/lib/x"), "/lib/x");
        assert_eq!(without_usr("/usrlocal/x"), "/usrlocal/x");
    }
}
