//! `cargo xtask vm setup`: fetches what guests run on.

use anyhow::{Result, bail, ensure};

use super::home::{Home, VARIABLE};
use super::kernel::Kernel;
use super::part::Part;
use crate::building::{self, Building};
use crate::debian::apt::Apt;
use crate::interrupt::Interrupt;
use crate::machine::free_space;

/// The releases that kernels are of: the one that has 6.1, that of the programs, and where newer ones appear.
const RELEASES: [&str; 3] = ["bookworm", "trixie", "trixie-backports"];
/// What one kernel takes while it is built, in bytes: its packages and what is in them.
const SPACE: u64 = 1_200_000_000;

/// Makes `home` hold all that guests with `kernels` need; at once done if it does.
///
/// Progress goes to standard error, so that a command's own output stays its own.
///
/// # Errors
///
/// On another processor than x86-64, without root, without a network, if the disk is full, or if a package is
/// missing. Parts that were finished by then are kept.
pub fn setup(home: &Home, kernels: &[Kernel], interrupt: &Interrupt) -> Result<()> {
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "guest kernels run on x86-64 machines only, and this one is {}",
        std::env::consts::ARCH
    );
    if missing(home, kernels).is_empty() {
        return Ok(());
    }
    let _lock = home.lock(interrupt)?;
    // Another set-up may have done it meanwhile.
    let missing = missing(home, kernels);
    if missing.is_empty() {
        return Ok(());
    }
    building::sweep(home.path())?;
    if let Some(free) = free_space(home.path()).filter(|&free| free < SPACE) {
        bail!(
            "{} has {:.1} GB free, and setting up a guest kernel takes {:.1} GB: make room, or set {VARIABLE} to a \
             folder on another disk",
            home.path().display(),
            free as f64 / 1e9,
            SPACE as f64 / 1e9
        );
    }
    eprintln!("guest kernels in {}: fetching Debian's package lists", home.path().display());
    let lists = Building::new(&home.path().join("apt"))?;
    let apt = Apt::new(lists.folder.clone(), &RELEASES, "amd64", interrupt)?;
    for part in missing {
        part.build(home, &apt, interrupt)?;
    }
    Ok(())
}

/// The parts that are not there or not whole, each once.
fn missing(home: &Home, kernels: &[Kernel]) -> Vec<Part> {
    let mut parts = Vec::new();
    for part in kernels.iter().flat_map(|&kernel| Part::of(kernel)) {
        if !parts.contains(&part) && !part.is_whole(home) {
            parts.push(part);
        }
    }
    parts
}
