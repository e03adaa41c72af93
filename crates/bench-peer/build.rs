//! Builds the kernel program and hands its object to the crate: `BENCH_PEER_EBPF_OBJECT` at compile time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ebpf_build::{Paths, Program, Toolchain};

fn main() -> Result<()> {
    let package =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let root = package.ancestors().nth(2).context("the package lies two folders deep in the workspace")?;
    let source = package.join("ebpf");
    for watched in ["src", "Cargo.toml", "Cargo.lock"] {
        watch(&source.join(watched));
    }
    let paths = Paths::in_workspace(root);
    // Set-up may install the linker after a build without it has failed.
    watch(&paths.linker());
    let toolchain = Toolchain::find(&paths)?;
    let object =
        toolchain.build(&Program { package: &source, binary: "bench-peer-ebpf" }, &out.join("ebpf"))?;
    println!("cargo::rustc-env=BENCH_PEER_EBPF_OBJECT={}", object.display());
    Ok(())
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
