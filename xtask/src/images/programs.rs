//! The programs of images: built, or taken from where they are, and without what only a debugger reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::architecture::Architecture;
use super::recipe::{Linkage, Recipe};
use super::sysroot::Sysroot;
use crate::workspace::Workspace;

/// Builds the programs of `recipes` and says where each is; for another processor, with the libraries of `sysroot`.
///
/// # Errors
///
/// A target or a linker is missing, or the build fails.
pub(super) fn build(
    workspace: &Workspace,
    recipes: &[&Recipe],
    architecture: Architecture,
    sysroot: Option<&Sysroot>,
) -> Result<Vec<PathBuf>> {
    let packages = |linkage: Linkage| {
        let of = recipes.iter().filter(move |recipe| recipe.linkage == linkage);
        of.map(|recipe| recipe.package).collect::<Vec<_>>()
    };
    let (dynamic, statics) = (packages(Linkage::Dynamic), packages(Linkage::Static));
    if !dynamic.is_empty() {
        match sysroot {
            Some(sysroot) => build_dynamic(workspace, &dynamic, sysroot, &[])?,
            None => workspace.build_release(&dynamic)?,
        }
    }
    let target = architecture.static_target();
    if !statics.is_empty() {
        build_static(workspace, &statics, target, &[])?;
    }
    let folder = |target: &str| workspace.target().join(target).join("release");
    Ok(recipes
        .iter()
        .map(|recipe| match (recipe.linkage, sysroot) {
            (Linkage::Static, _) => folder(target).join(recipe.package),
            (Linkage::Dynamic, Some(_)) => folder(architecture.target()).join(recipe.package),
            (Linkage::Dynamic, None) => workspace.binary(recipe.package),
        })
        .collect())
}

/// Builds programs that are linked with the libraries of `sysroot`. `settings` are cargo's, as its `--config` takes them.
///
/// # Errors
///
/// The target cannot be installed, or the build fails.
pub(super) fn build_dynamic(
    workspace: &Workspace,
    packages: &[&str],
    sysroot: &Sysroot,
    settings: &[&str],
) -> Result<()> {
    let mut command = workspace.cargo();
    sysroot.prepare(&mut command);
    build_for(workspace, command, packages, sysroot.architecture().target(), settings)
}

/// Builds programs that need no library, with Rust's own linker, start files and C library, so that nothing of another
/// processor has to be installed but Rust's target. `settings` are cargo's, as its `--config` takes them.
///
/// # Errors
///
/// The target cannot be installed, or the build fails.
pub(crate) fn build_static(
    workspace: &Workspace,
    packages: &[&str],
    target: &str,
    settings: &[&str],
) -> Result<()> {
    let mut command = workspace.cargo();
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    command.env(linker, "rust-lld");
    build_for(workspace, command, packages, target, settings)
}

/// Builds `packages` for `target` by `cargo`, which knows how to link for it.
fn build_for(
    workspace: &Workspace,
    mut cargo: Command,
    packages: &[&str],
    target: &str,
    settings: &[&str],
) -> Result<()> {
    add_target(workspace, target)?;
    cargo.args(["build", "--release", "--target", target]);
    cargo.args(settings.iter().flat_map(|setting| ["--config", setting]));
    for package in packages {
        cargo.args(["--package", package]);
    }
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the build for {target} failed: cargo's messages above say why");
    }
    Ok(())
}

/// Installs Rust's target if it is missing.
fn add_target(workspace: &Workspace, target: &str) -> Result<()> {
    let sysroot = {
        let mut command = Command::new("rustc");
        command.args(["--print", "sysroot"]).current_dir(workspace.root());
        let output = command.output().context("cannot run rustc")?;
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    };
    if sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(());
    }
    println!("  $ rustup target add {target}");
    let mut command = Command::new("rustup");
    command.args(["target", "add", target]).current_dir(workspace.root());
    if command.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!(
        "Rust's target {target} is missing in {} and could not be installed: `rustup target add {target}`, or the \
         distribution's package of that library",
        sysroot.display()
    )
}

/// The program at `path` without what only a debugger reads.
///
/// # Errors
///
/// It cannot be read, or `strip` does not know it.
pub(super) fn stripped(path: &Path) -> Result<Vec<u8>> {
    if !path.is_file() {
        bail!("{} is not there: build it first", path.display());
    }
    let to = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    for tool in strippers() {
        let mut command = Command::new(&tool);
        command.arg("--strip-all");
        // llvm-objcopy takes both files as they are; strip names the second one.
        if !tool.ends_with("rust-objcopy") {
            command.arg("-o").arg(to.path()).arg(path);
        } else {
            command.arg(path).arg(to.path());
        }
        if command.output().is_ok_and(|output| output.status.success()) {
            return fs::read(to.path()).with_context(|| format!("cannot read what {} made", tool.display()));
        }
    }
    bail!("{} cannot be stripped: install binutils, or a Rust toolchain with rust-objcopy", path.display())
}

/// Programs that take debugging information away: Rust's own knows every processor, those of binutils one each.
fn strippers() -> Vec<PathBuf> {
    let others = Architecture::value_variants().iter().map(|other| format!("{}-strip", other.triplet()));
    let mut tools: Vec<_> = std::iter::once("strip".to_owned()).chain(others).map(PathBuf::from).collect();
    let output = Command::new("rustc").args(["--print", "target-libdir"]).output();
    if let Ok(output) = output {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        tools.insert(0, folder.with_file_name("bin").join("rust-objcopy"));
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_program_is_smaller_and_runs() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::current_exe().unwrap();
        let bytes = stripped(&path).unwrap();
        assert!((bytes.len() as u64) < fs::metadata(&path).unwrap().len());
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy");
        fs::write(&copy, bytes).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new(&copy).arg("--list").output().unwrap().status.success());
        assert!(stripped(directory.path()).unwrap_err().to_string().contains("build it first"));
    }
}
