//! The parts of the home: the guests' own tools, the emulator, and each kernel. A part is built under a name of its
//! own and then renamed, so that it is there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::home::Home;
use super::kernel::{Kernel, Machine};
use super::manifest::Manifest;
use super::modules::{Modules, files};
use super::{image, interpreter};
use crate::building::{Building, remove};
use crate::debian::apt::{Apt, Package, Wanted};
use crate::interrupt::Interrupt;

/// Where Debian's packages have their libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "ld-linux-x86-64.so.2";

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The one program, statically linked, with which a guest sets itself up.
    Tools,
    /// QEMU with its firmware and its libraries.
    Emulator,
    /// A kernel with its modules.
    Kernel(Kernel),
}

impl Part {
    /// The parts that a guest with `kernel` needs, in the order in which they are built.
    pub(super) fn of(kernel: Kernel) -> Vec<Self> {
        match kernel.machine() {
            Machine::UserMode => vec![Self::Tools, Self::Kernel(kernel)],
            Machine::Emulated => vec![Self::Tools, Self::Emulator, Self::Kernel(kernel)],
        }
    }

    /// Its name, which is its folder's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Emulator => "qemu",
            Self::Kernel(kernel) => kernel.name(),
        }
    }

    /// Its folder.
    pub(super) fn folder(self, home: &Home) -> PathBuf {
        home.path().join(self.name())
    }

    /// Whether it is there and whole.
    pub(super) fn is_whole(self, home: &Home) -> bool {
        Manifest::holds(&self.folder(home))
    }

    /// Builds it anew; what was there before is replaced at the end.
    ///
    /// # Errors
    ///
    /// If a package cannot be had or a file cannot be written. Nothing is left of the attempt.
    pub(super) fn build(self, home: &Home, apt: &Apt<'_>, interrupt: &Interrupt) -> Result<()> {
        let folder = self.folder(home);
        let building = Building::new(&folder)?;
        let packages = self.packages(apt)?;
        let megabytes = packages.iter().map(|package| package.size).sum::<u64>() as f64 / 1e6;
        eprintln!("{}: {megabytes:.0} MB of packages, first {}", self.name(), summary(&packages));
        let unpacked = building.folder.join("unpacked");
        apt.unpack(&packages, &unpacked)?;
        self.arrange(home, &unpacked, &building.folder, interrupt)
            .with_context(|| format!("cannot put {} together", self.name()))?;
        remove(&unpacked)?;
        Manifest::write(&building.folder, &folder, &packages)?;
        interrupt.check()?;
        building.finish(&folder)
    }

    fn packages(self, apt: &Apt<'_>) -> Result<Vec<Package>> {
        match self {
            Self::Tools => apt.closure(&Wanted::of_release("busybox-static")),
            Self::Emulator => apt.closure(&Wanted::of_release("qemu-system-x86")),
            Self::Kernel(kernel) => {
                let (package, version) = kernel.package();
                let mut packages = apt.closure(&apt.newest(package, version)?)?;
                if kernel.machine() == Machine::Emulated {
                    // The rest makes an initial RAM disk, which guests do without.
                    packages.retain(|package| package.name.starts_with("linux-"));
                }
                // The largest is what it is all about.
                packages.sort_by_key(|package| std::cmp::Reverse(package.size));
                Ok(packages)
            }
        }
    }

    /// Moves what is needed from `from` to `to`.
    fn arrange(self, home: &Home, from: &Path, to: &Path, interrupt: &Interrupt) -> Result<()> {
        let busybox = busybox(home);
        let modules = to.join("lib/modules");
        match self {
            Self::Tools => take(&from.join("usr/bin/busybox"), &to.join("busybox")),
            Self::Emulator => {
                take(&from.join("usr/share/qemu"), &to.join("share"))?;
                self.program(home, from, to, "qemu-system-x86_64")
            }
            Self::Kernel(kernel) if kernel.machine() == Machine::UserMode => {
                Modules::gather(&from.join("usr/lib/uml/modules"), &modules, &busybox, interrupt)?;
                self.program(home, from, to, "linux.uml")
            }
            Self::Kernel(_) => {
                // Kernels before 7 are packaged outside /usr.
                let found = ["usr/lib/modules", "lib/modules"].map(|path| from.join(path));
                let source = found.iter().find(|path| path.is_dir()).context("no modules")?;
                let image = files(&from.join("boot"), false)?
                    .into_iter()
                    .chain(files(source, true)?)
                    .find(|file| {
                        file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
                    })
                    .context("no kernel image")?;
                image::unpack(&image, &to.join("vmlinux"), interrupt)?;
                Modules::gather(source, &modules, &busybox, interrupt).map(drop)
            }
        }
    }

    /// Takes the program `name` with its libraries and makes it load them.
    fn program(self, home: &Home, from: &Path, to: &Path, name: &str) -> Result<()> {
        let program = to.join(name);
        take(&from.join("usr/bin").join(name), &program)?;
        for library in files(&from.join(LIBRARIES), false)? {
            let file = library.file_name().context("a file has a name")?;
            take(&library, &to.join("libraries").join(file))?;
        }
        interpreter::set(&program, &self.folder(home).join("libraries").join(LOADER))
    }

    /// The command that runs the program `name` of this part, with an environment of its own.
    ///
    /// It runs as a shell's child: the first process of a process namespace is spared the signals with which a
    /// user-mode kernel ends itself when it panics.
    pub(super) fn command(self, home: &Home, name: &str) -> Command {
        let folder = self.folder(home);
        let mut command = Command::new(busybox(home));
        command.env_clear().env("LD_LIBRARY_PATH", folder.join("libraries"));
        command.args(["sh", "-c", "\"$@\"; exit", "guest"]).arg(folder.join(name));
        command
    }
}

/// The guests' statically linked tools.
pub(super) fn busybox(home: &Home) -> PathBuf {
    Part::Tools.folder(home).join("busybox")
}

/// Moves `from`, which must be there, to `to`.
fn take(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a target has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

fn summary(packages: &[Package]) -> String {
    packages.first().map(|first| format!("{} {}", first.name, first.version)).unwrap_or_default()
}
