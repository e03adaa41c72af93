//! A kernel's modules: which are kept, and which another needs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::interrupt::Interrupt;
use crate::tool;

/// Folders below `kernel` that are kept whole: what networking, BPF and a guest's own root need.
const KEPT: [&str; 16] = [
    "arch",
    "crypto",
    "drivers/char",
    "drivers/net/bonding",
    "drivers/net/ipvlan",
    "drivers/net/team",
    "drivers/net/vxlan",
    "drivers/net/wireguard",
    "drivers/virtio",
    "fs/9p",
    "fs/fscache",
    "fs/netfs",
    "fs/overlayfs",
    "kernel",
    "lib",
    "net",
];
/// A folder whose files are kept but not the folders in it: links that exist in software only.
const KEPT_FILES: &str = "drivers/net";
/// How many files are unpacked by one call of a program.
const BATCH: usize = 500;

/// The modules of one kernel, with depmod's indices, in a folder named as its release.
#[derive(Debug)]
pub(super) struct Modules(PathBuf);

impl Modules {
    /// Moves the wanted modules of the kernel in `from` (a folder of folders named as releases) to `to`, unpacks
    /// them and has `busybox` make their indices. `to` is `…/lib/modules`, as depmod wants it.
    ///
    /// # Errors
    ///
    /// If there is not exactly one kernel, or a file cannot be moved or unpacked.
    pub(super) fn gather(from: &Path, to: &Path, busybox: &Path, interrupt: &Interrupt) -> Result<Self> {
        let source = only(from)?;
        let release = source.file_name().context("a release has a name")?;
        let target = to.join(release);
        for folder in KEPT {
            rename(&source.join("kernel").join(folder), &target.join("kernel").join(folder))?;
        }
        for file in files(&source.join("kernel").join(KEPT_FILES), false)? {
            let name = file.strip_prefix(&source).context("a file lies in its folder")?;
            rename(&file, &target.join(name))?;
        }
        for index in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            rename(&source.join(index), &target.join(index))?;
        }
        decompress(&target, interrupt)?;
        let base = to.parent().and_then(Path::parent).context("modules lie in lib/modules")?;
        let mut depmod = Command::new(busybox);
        depmod.arg("depmod").arg("-b").arg(base).arg(release);
        tool::run(depmod, interrupt)?;
        Self::find(to)
    }

    /// The modules of the one kernel in `folder`.
    ///
    /// # Errors
    ///
    /// If there is not exactly one.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        only(folder).map(Self)
    }

    /// Their folder, named as the kernel's release.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The files of the module `name` and all that it needs, in the order in which they can be loaded; none for
    /// what is part of the kernel itself.
    ///
    /// # Errors
    ///
    /// If the indices cannot be read.
    pub(super) fn with_needs(&self, name: &str) -> Result<Vec<PathBuf>> {
        let index = self.0.join("modules.dep");
        let index = fs::read_to_string(&index).with_context(|| format!("cannot read {}", index.display()))?;
        Ok(with_needs(&index, name).into_iter().map(|file| self.0.join(file)).collect())
    }
}

/// As [`Modules::with_needs`], in the text of `modules.dep`.
fn with_needs<'a>(index: &'a str, name: &str) -> Vec<&'a str> {
    let needs: HashMap<&str, Vec<&str>> = index
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (file, needs.split_whitespace().collect()))
        .collect();
    let stem = |file: &str| file.rsplit('/').next().and_then(|file| file.split('.').next()).map(normal);
    let Some(file) = needs.keys().find(|file| stem(file) == Some(normal(name))) else { return Vec::new() };
    let mut order = Vec::new();
    add(&needs, file, &mut order);
    order
}

/// Adds `file` to `order` after what it needs.
fn add<'a>(needs: &HashMap<&'a str, Vec<&'a str>>, file: &'a str, order: &mut Vec<&'a str>) {
    if order.contains(&file) {
        return;
    }
    for need in needs.get(file).into_iter().flatten() {
        add(needs, need, order);
    }
    if !order.contains(&file) {
        order.push(file);
    }
}

/// A module's name is the same with `-` and `_`.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Unpacks every packed file below `folder` in place.
fn decompress(folder: &Path, interrupt: &Interrupt) -> Result<()> {
    let files = files(folder, true)?;
    for (ending, program, arguments) in
        [("xz", "xz", &["-d", "-q"][..]), ("zst", "zstd", &["-d", "-q", "--rm"])]
    {
        let packed: Vec<_> =
            files.iter().filter(|file| file.extension().is_some_and(|it| it == ending)).collect();
        for batch in packed.chunks(BATCH) {
            let mut command = Command::new(program);
            command.args(arguments).args(batch);
            tool::run(command, interrupt)?;
        }
    }
    Ok(())
}

/// The files in `folder`, and with `deep` those in the folders below; none if it is not there.
pub(super) fn files(folder: &Path, deep: bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            found.push(entry.path());
        } else if deep {
            found.extend(files(&entry.path(), true)?);
        }
    }
    Ok(found)
}

/// Moves `from` to `to`, whose folders are made; nothing if there is no `from`.
fn rename(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    let parent = to.parent().context("a target has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

/// The one thing in `folder`.
fn only(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    ensure!(paths.len() == 1, "{} holds {} kernels and should hold one", folder.display(), paths.len());
    Ok(paths.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
kernel/net/9p/9pnet_virtio.ko: kernel/drivers/virtio/virtio_ring.ko kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio.ko
kernel/net/9p/9pnet.ko: kernel/fs/netfs/netfs.ko
kernel/fs/netfs/netfs.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko:
kernel/net/sched/sch-fq.ko:
";

    #[test]
    fn needs_come_first_and_once() {
        let order = with_needs(INDEX, "9pnet_virtio");
        let place = |name: &str| order.iter().position(|file| file.ends_with(name)).unwrap();
        assert_eq!(order.len(), 5);
        assert!(place("/virtio.ko") < place("/virtio_ring.ko"));
        assert!(place("/netfs.ko") < place("/9pnet.ko"));
        assert_eq!(place("/9pnet_virtio.ko"), 4);
    }

    #[test]
    fn names_are_the_same_with_either_dash() {
        assert_eq!(with_needs(INDEX, "sch_fq"), ["kernel/net/sched/sch-fq.ko"]);
        assert!(with_needs(INDEX, "built_in").is_empty());
    }
}
