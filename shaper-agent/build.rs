//! Builds the kernel program and hands its object to the crate: `SLUICE_EBPF_OBJECT` at compile time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use ebpf_build::{Paths, Program, Toolchain};

/// Names a ready-made object, for machines that cannot build one.
const PREBUILT: &str = "SLUICE_EBPF_OBJECT";

fn main() -> Result<()> {
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    let object = match std::env::var_os(PREBUILT) {
        Some(path) => prebuilt(PathBuf::from(path))?,
        None => build()?,
    };
    println!("cargo::rustc-env={PREBUILT}={}", object.display());
    Ok(())
}

fn prebuilt(object: PathBuf) -> Result<PathBuf> {
    let object = object.canonicalize().with_context(|| format!("{PREBUILT} names {}", object.display()))?;
    if !object.is_file() {
        bail!("{PREBUILT} names {}, which is no file", object.display());
    }
    println!("cargo::rerun-if-changed={}", object.display());
    Ok(object)
}

fn build() -> Result<PathBuf> {
    let package =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let root = package.parent().context("the package lies in the workspace")?;
    let source = root.join("shaper-ebpf");
    let common = root.join("crates").join("shaper-common");
    for watched in [
        &source.join("src"),
        &source.join("Cargo.toml"),
        &source.join("Cargo.lock"),
        &common.join("src"),
        &common.join("Cargo.toml"),
    ] {
        watch(watched);
    }
    let paths = Paths::in_workspace(root);
    // Set-up may install the linker after a build without it has failed.
    watch(&paths.linker());
    let toolchain = Toolchain::find(&paths)?;
    println!("{toolchain}");
    toolchain.build(&Program { package: &source, binary: "shaper-ebpf" }, &out.join("ebpf"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
