//! `bpf-linker`, which turns LLVM bitcode into a BPF object.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{Paths, command};

/// The version that is installed, and the last series that loads the compiler's own LLVM instead of
/// bringing another: with it the two cannot disagree about the bitcode.
pub(crate) const LINKER_VERSION: &str = "0.10.3";
/// What a linker must print to be used: any of that series.
const LINKER_SERIES: &str = "bpf-linker 0.10.";
/// The LLVM whose interface that series is compiled for.
pub(crate) const LINKER_LLVM: u32 = 22;

/// Generous: it takes about 90 s on two cores.
const INSTALL_LIMIT: Duration = Duration::from_secs(3600);

/// The project's own linker, else the one on `PATH`; with the reason against each that does not do.
pub(crate) fn find(paths: &Paths, reasons: &mut Vec<String>) -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|folder| folder.join("bpf-linker")).collect::<Vec<_>>())
        .unwrap_or_default();
    let found = on_path.into_iter().find(|file| file.is_file());
    for linker in std::iter::once(paths.linker()).chain(found) {
        match check(&linker) {
            Ok(()) => return Some(linker),
            Err(reason) => reasons.push(format!("{}: {reason:#}", linker.display())),
        }
    }
    None
}

fn check(linker: &Path) -> Result<()> {
    if !linker.is_file() {
        bail!("is not there");
    }
    let version = command::output(command::clean(linker).arg("--version"))?;
    if !version.starts_with(LINKER_SERIES) {
        bail!("is {}; {LINKER_SERIES}x is needed", version.trim_end());
    }
    Ok(())
}

/// Compiles and installs the linker from the crate registry into the project's tools.
pub(crate) fn install(paths: &Paths, report: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let mut install = command::clean(&paths.cargo);
    install
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--root"])
        .arg(&paths.tools);
    install.env("CARGO_TERM_PROGRESS_WHEN", "never");
    report(&format!("{} (about two minutes)", command::describe(&install)));
    command::watched(&mut install, INSTALL_LIMIT, report).context("cannot install bpf-linker")?;
    let linker = paths.linker();
    check(&linker).with_context(|| format!("{} was installed but does not do", linker.display()))?;
    Ok(linker)
}
