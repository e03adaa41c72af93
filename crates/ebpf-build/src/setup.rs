//! Installs what is missing: the only part that changes the machine.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{Paths, Toolchain, command, compiler, linker};

/// rustup's server may be out of reach; Debian's packages are then the way, and nobody should wait long for that.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);
const APT_LIMIT: Duration = Duration::from_secs(1800);
const PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// Makes sure that the kernel programs can be built, installing what is missing, and returns the toolchain.
///
/// Tries `rustup component add rust-src`, then Debian's packages (which need root); installs `bpf-linker` under
/// [`Paths::tools`]. `report` gets one line at a time: what is done, and what the installers print. Does nothing
/// where nothing is missing, so that it may be run again.
///
/// # Errors
///
/// Neither way to a compiler works, or the linker cannot be installed; the error says what was tried.
pub fn setup(paths: &Paths, report: &mut dyn FnMut(&str)) -> Result<Toolchain> {
    let mut reasons = Vec::new();
    if compiler::find(paths, &mut reasons).is_none() {
        install_core(paths, &mut reasons, report)?;
    }
    if linker::find(paths, &mut Vec::new()).is_none() {
        linker::install(paths, report)?;
    }
    Toolchain::find(paths)
}

fn install_core(paths: &Paths, reasons: &mut Vec<String>, report: &mut dyn FnMut(&str)) -> Result<()> {
    let ways = [add_rust_src as fn(&Paths, &mut dyn FnMut(&str)) -> Result<()>, install_packages];
    for way in ways {
        if let Err(reason) = way(paths, report) {
            report(&format!("{reason:#}"));
            reasons.push(format!("{reason:#}"));
            continue;
        }
        if compiler::find(paths, &mut Vec::new()).is_some() {
            return Ok(());
        }
    }
    bail!(
        "no compiler for BPF, and none could be installed:\n  {}\nInstall one by hand: `rustup component add rust-src`, \
         or on Debian, as root, `apt-get install {}`",
        reasons.join("\n  "),
        PACKAGES.join(" ")
    )
}

fn add_rust_src(paths: &Paths, report: &mut dyn FnMut(&str)) -> Result<()> {
    let mut add = command::clean(&paths.rustup);
    add.args(["component", "add", "rust-src"]);
    report(&command::describe(&add));
    command::watched(&mut add, RUSTUP_LIMIT, report)
}

fn install_packages(_: &Paths, report: &mut dyn FnMut(&str)) -> Result<()> {
    let apt = |arguments: &[&str], report: &mut dyn FnMut(&str)| {
        let mut apt = command::clean("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        report(&command::describe(&apt));
        command::watched(&mut apt, APT_LIMIT, report)
    };
    let install = [&["install", "-y", "--no-install-recommends"], PACKAGES.as_slice()].concat();
    // A machine that has never fetched the lists, or long ago, knows the packages only after an update.
    apt(&install, report).or_else(|_| {
        apt(&["update"], report)?;
        apt(&install, report)
    })
}
