//! Getting a machine ready, and building the kernel programs.

use anyhow::{Context, Result};
use ebpf_build::{Paths, Program, Toolchain};

use crate::packages;
use crate::workspace::Workspace;

/// The folder of the kernel programs in the workspace, which is also their binary's name.
const PROGRAMS: &str = "shaper-ebpf";

/// Installs what is missing of the system packages and of the eBPF toolchain.
///
/// # Errors
///
/// If something cannot be installed.
pub fn setup(workspace: &Workspace) -> Result<()> {
    packages::install()?;
    toolchain(workspace).map(drop)
}

/// Builds the kernel programs and says where the object is.
///
/// # Errors
///
/// If the toolchain cannot be set up or the build fails.
pub fn build_ebpf(workspace: &Workspace) -> Result<()> {
    let toolchain = toolchain(workspace)?;
    let program = Program { package: &workspace.root().join(PROGRAMS), binary: PROGRAMS };
    let object = toolchain
        .build(&program, &workspace.target().join("ebpf"))
        .context("the kernel programs could not be built")?;
    println!("{}", object.display());
    Ok(())
}

/// The eBPF toolchain, installed if it is missing.
///
/// # Errors
///
/// If it cannot be installed.
pub fn toolchain(workspace: &Workspace) -> Result<Toolchain> {
    let toolchain =
        ebpf_build::setup(&Paths::in_workspace(workspace.root()), &mut |line| println!("  {line}"))
            .context("the eBPF toolchain could not be set up")?;
    println!("eBPF toolchain: {toolchain}");
    Ok(toolchain)
}
