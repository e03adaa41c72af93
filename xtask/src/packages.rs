//! The system packages that Sluice builds and runs with, and why each is needed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

/// Debian's name of each package, and why it is needed.
const PACKAGES: [(&str, &str); 23] = [
    ("gcc", "links Rust programs and builds eBPF's linker"),
    ("g++", "builds libFuzzer, for fuzz"),
    ("libc6-dev", "headers and start files for the above"),
    ("pkg-config", "tells the build where GStreamer is"),
    ("libgstreamer1.0-dev", "GStreamer: edge daemon and relay are built against it"),
    ("libgstreamer-plugins-base1.0-dev", "its video and app libraries"),
    ("libgstrtspserver-1.0-dev", "its RTSP server, for the relay"),
    ("gstreamer1.0-tools", "gst-launch-1.0, for render-demo"),
    ("gstreamer1.0-plugins-base", "reads containers, converts pictures"),
    ("gstreamer1.0-plugins-good", "RTSP, RTP and MP4"),
    ("gstreamer1.0-plugins-bad", "parses H.264"),
    ("gstreamer1.0-plugins-ugly", "encodes H.264, for render-demo and tests"),
    ("gstreamer1.0-libav", "decodes H.264"),
    ("iproute2", "ip: the run's links and addresses"),
    ("xz-utils", "unpacks guest kernels, for tests"),
    ("zstd", "the same"),
    ("gstreamer1.0-rtsp", "pushes a stream, for tests"),
    ("ffmpeg", "a second RTSP client and H.264 encoder, for tests"),
    ("docker.io", "Docker and containerd: containers to limit, for tests"),
    ("podman", "the same of another kind"),
    ("busybox-static", "the programs in these containers"),
    ("qemu-user-static", "runs programs for boards, for tests"),
    ("ca-certificates", "the authorities that images verify web servers by"),
];
/// The same of what builds programs for boards on a machine that is none.
const FOR_BOARDS: [(&str, &str); 2] = [
    ("gcc-aarch64-linux-gnu", "links programs for 64-bit Arm, for images and tests"),
    ("libc6-dev-arm64-cross", "headers and start files for them"),
];

/// How old apt's package lists may be before they are fetched anew.
const STALE: Duration = Duration::from_secs(3 * 86_400);

/// Installs the packages that are missing; at once done if there are none.
///
/// # Errors
///
/// On a system without apt (with the whole list), without root (with the command), or if apt fails.
pub fn install() -> Result<()> {
    if !Path::new("/var/lib/dpkg/status").exists() || !crate::machine::has_program("apt-get") {
        if other_system_has_all() {
            println!("packages: not a Debian system, but GStreamer and `ip` are there");
            return Ok(());
        }
        bail!(
            "this system has no apt: install what these Debian packages hold, then run this again\n{}",
            list()
        );
    }
    let missing = missing()?;
    if missing.is_empty() {
        println!("packages: all {} are installed", packages().count());
        return Ok(());
    }
    println!("packages: {} are missing", missing.len());
    for (name, reason) in packages().filter(|(name, _)| missing.contains(name)) {
        println!("  {name:34} {reason}");
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&missing);
    let command = format!("apt-get {}", arguments.join(" "));
    if !Uid::effective().is_root() {
        bail!("installing packages needs root. Run:\n    sudo apt-get update && sudo {command}");
    }
    // Lists that look fresh can still name versions that the mirror has replaced.
    if !lists_are_stale(Path::new("/var/lib/apt/lists")) && apt(&arguments).is_ok() {
        return Ok(());
    }
    apt(&["update"])?;
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    println!("  $ apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("cannot run apt-get")?;
    if !status.success() {
        bail!("`apt-get {}` failed: its messages above say why", arguments.join(" "));
    }
    Ok(())
}

/// The packages that this machine is to have.
fn packages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_board = cfg!(target_arch = "aarch64");
    PACKAGES.into_iter().chain(FOR_BOARDS.into_iter().filter(move |_| !is_board))
}

/// Debian's names of the packages.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    packages().map(|(name, _)| name)
}

/// The packages that dpkg does not list as installed.
fn missing() -> Result<Vec<&'static str>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(names())
        .output()
        .context("cannot run dpkg-query")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let provided = |name: &str| match name {
        // pkgconf took over the name and provides it.
        "pkg-config" => crate::machine::has_program("pkg-config"),
        // Docker's own packages would have to go for Debian's.
        "docker.io" => crate::machine::has_program("dockerd"),
        _ => false,
    };
    let installed = |name: &str| text.lines().any(|line| line == format!("{name} installed"));
    Ok(names().filter(|name| !installed(name) && !provided(name)).collect())
}

/// Whether apt has no package lists, or none that were fetched lately.
fn lists_are_stale(directory: &Path) -> bool {
    let newest = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max();
    let age = |at: SystemTime| SystemTime::now().duration_since(at).unwrap_or_default();
    newest.is_none_or(|at| age(at) > STALE)
}

/// Whether a system of another kind has been given the libraries and programs by hand.
fn other_system_has_all() -> bool {
    let libraries =
        ["gstreamer-1.0", "gstreamer-app-1.0", "gstreamer-video-1.0", "gstreamer-rtsp-server-1.0"];
    let found = Command::new("pkg-config").arg("--exists").args(libraries).status();
    crate::machine::has_program("ip") && found.is_ok_and(|status| status.success())
}

fn list() -> String {
    packages().map(|(name, reason)| format!("    {name:34} {reason}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_stale() {
        let directory = tempfile::tempdir().unwrap();
        assert!(lists_are_stale(&directory.path().join("none")));
        fs::write(directory.path().join("lock"), "").unwrap();
        assert!(lists_are_stale(directory.path()));
        let path = directory.path().join("deb.debian.org_dists_bookworm_main_binary-amd64_Packages.lz4");
        fs::write(&path, "").unwrap();
        assert!(!lists_are_stale(directory.path()));
        let old = SystemTime::now() - 2 * STALE;
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert!(lists_are_stale(directory.path()));
    }
}
