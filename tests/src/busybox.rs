//! The smallest root file system that containers can be made of: busybox.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

const BUSYBOX: &str = "/bin/busybox";

/// What this machine lacks for it; none if it has everything.
pub(crate) fn missing() -> Option<&'static str> {
    (!Path::new(BUSYBOX).exists()).then_some("needs /bin/busybox (package busybox-static)")
}

/// Makes `root` with all the applets in `directory`, and packs it into the archive that is returned.
pub(crate) fn archive(directory: &Path) -> Result<PathBuf> {
    let (root, archive) = (directory.join("root"), directory.join("root.tar"));
    let programs = root.join("bin");
    fs::create_dir_all(&programs)?;
    fs::copy(BUSYBOX, programs.join("busybox")).context(BUSYBOX)?;
    let applets = Command::new(BUSYBOX).arg("--list").output().context(BUSYBOX)?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", programs.join(applet))?;
    }
    let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
    ensure!(packed.context("run tar")?.success(), "tar cannot pack {}", root.display());
    Ok(archive)
}
