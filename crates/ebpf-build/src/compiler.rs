//! The compilers that can make BPF: one with the source of `core`, or one with a compiled `core`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    Paths, TARGET, command,
    linker::{LINKER_LLVM, LINKER_VERSION},
};

/// Where a compiler gets `core` for BPF from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// Compiled from `rust-src` with `-Z build-std`.
    Source,
    /// Compiled already, in the compiler's library folder.
    Compiled,
}

/// A compiler that can make BPF.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    pub(crate) rustc: PathBuf,
    /// The toolchain's own cargo, if it has one.
    pub(crate) cargo: Option<PathBuf>,
    /// The LLVM library that this compiler was linked with; the linker loads it too.
    pub(crate) llvm: PathBuf,
    pub(crate) core: Core,
    /// For people: `rustc 1.95.0 (…), core from rust-src`.
    pub(crate) description: String,
}

/// The first compiler that does, with the reason against each before it.
pub(crate) fn find(paths: &Paths, reasons: &mut Vec<String>) -> Option<Compiler> {
    let mut seen = Vec::new();
    for rustc in installed(paths) {
        match inspect(&rustc) {
            Ok(facts) if seen.contains(&facts.sysroot) => {}
            Ok(facts) => {
                seen.push(facts.sysroot.clone());
                match facts.with_source() {
                    Ok(compiler) => return Some(compiler),
                    Err(reason) => reasons.push(format!("{}: {reason:#}", rustc.display())),
                }
            }
            Err(reason) => reasons.push(format!("{}: {reason:#}", rustc.display())),
        }
    }
    match inspect(&paths.debian_rustc).and_then(Facts::with_compiled_core) {
        Ok(compiler) => Some(compiler),
        Err(reason) => {
            reasons.push(format!("{}: {reason:#}", paths.debian_rustc.display()));
            None
        }
    }
}

/// The compiler on `PATH`, then rustup's others.
fn installed(paths: &Paths) -> Vec<PathBuf> {
    let mut compilers = vec![paths.rustc.clone()];
    // No rustup, or one that fails, only means that there are no more toolchains to try.
    if let Ok(list) = command::output(command::clean(&paths.rustup).args(["toolchain", "list", "-v"])) {
        compilers.extend(toolchain_folders(&list).map(|folder| folder.join("bin").join("rustc")));
    }
    compilers
}

/// The folders in the output of `rustup toolchain list -v`: `name (active, default) /folder`.
fn toolchain_folders(list: &str) -> impl Iterator<Item = PathBuf> {
    list.lines().filter_map(|line| line.find('/').map(|start| PathBuf::from(line[start..].trim_end())))
}

/// What a compiler says of itself.
#[derive(Debug)]
struct Facts {
    rustc: PathBuf,
    sysroot: PathBuf,
    release: String,
    host: String,
    llvm_major: u32,
}

fn inspect(rustc: &Path) -> Result<Facts> {
    let verbose = command::output(command::clean(rustc).arg("-vV"))?;
    let field = |name: &str| {
        verbose
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .with_context(|| format!("`{} -vV` names no `{name}`", rustc.display()))
    };
    let llvm = field("LLVM version")?;
    let sysroot = command::output(command::clean(rustc).args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(sysroot.trim_end());
    let own = sysroot.join("bin").join("rustc");
    Ok(Facts {
        // Past rustup's proxy, so that nothing in the environment selects another toolchain.
        rustc: if own.is_file() { own } else { rustc.to_owned() },
        sysroot: sysroot.canonicalize().unwrap_or(sysroot),
        release: field("release")?.to_owned(),
        host: field("host")?.to_owned(),
        llvm_major: llvm
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .with_context(|| format!("cannot read its LLVM version `{llvm}`"))?,
    })
}

impl Facts {
    fn with_source(self) -> Result<Compiler> {
        let source = self.sysroot.join("lib/rustlib/src/rust/library");
        // The lock file too: a leftover folder without it cannot be built.
        if !source.join("core/src/lib.rs").is_file() || !source.join("Cargo.lock").is_file() {
            bail!("has no rust-src");
        }
        self.into_compiler(Core::Source, "core compiled from rust-src")
    }

    fn with_compiled_core(self) -> Result<Compiler> {
        let library = self.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        let has_core = fs::read_dir(&library).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        });
        if !has_core {
            bail!("has no compiled core for {TARGET}");
        }
        self.into_compiler(Core::Compiled, "core as packaged")
    }

    fn into_compiler(self, core: Core, origin: &str) -> Result<Compiler> {
        let Self { rustc, sysroot, release, host, llvm_major } = self;
        if llvm_major != LINKER_LLVM {
            bail!("has LLVM {llvm_major}; bpf-linker {LINKER_VERSION} needs LLVM {LINKER_LLVM}");
        }
        let llvm = llvm_library(&sysroot, &host, llvm_major)?;
        let cargo = Some(sysroot.join("bin").join("cargo")).filter(|cargo| cargo.is_file());
        let description = format!("{} {release}, LLVM {llvm_major}, {origin}", rustc.display());
        Ok(Compiler { rustc, cargo, llvm, core, description })
    }
}

/// The shared LLVM library of a compiler: `lib/libLLVM.so.22.1-rust-…` in a rustup toolchain, in the
/// distribution's library folders otherwise.
fn llvm_library(sysroot: &Path, host: &str, major: u32) -> Result<PathBuf> {
    let arch = host.split('-').next().unwrap_or(host);
    let lib = sysroot.join("lib");
    let folders = [
        lib.clone(),
        lib.join(format!("{arch}-linux-gnu")),
        sysroot.join("lib64"),
        lib.join(format!("llvm-{major}/lib")),
    ];
    folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(Iterator::flatten)
        .map(|entry| entry.path())
        // rustup's toolchains hold a linker script beside the library: only an ELF file can be loaded.
        .find(|path| is_llvm(path, major) && is_elf(path))
        .with_context(|| format!("has no shared LLVM {major} library under {}", lib.display()))
}

fn is_llvm(path: &Path, major: u32) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with(&format!("libLLVM.so.{major}.")) || name.starts_with(&format!("libLLVM-{major}"))
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::File::open(path).is_ok_and(|mut file| std::io::Read::read_exact(&mut file, &mut magic).is_ok())
        && &magic == b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchain_list_is_read() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default) /opt/rust up/toolchains/stable\n\
                    nightly /opt/nightly\nno folder here\n";
        let folders: Vec<PathBuf> = toolchain_folders(list).collect();
        assert_eq!(folders, [Path::new("/opt/rust up/toolchains/stable"), Path::new("/opt/nightly")]);
    }

    #[test]
    fn llvm_library_names() {
        assert!(is_llvm(Path::new("/x/libLLVM.so.22.1-rust-1.95.0-stable"), 22));
        assert!(is_llvm(Path::new("/x/libLLVM-22.so"), 22));
        assert!(!is_llvm(Path::new("/x/libLLVM.so.21.1"), 22));
        assert!(!is_llvm(Path::new("/x/libLTO.so.22.1"), 22));
    }

    #[test]
    fn a_compiler_without_core_is_refused_with_a_reason() {
        let paths = Paths {
            rustc: "/no/such/rustc".into(),
            rustup: "/no/such/rustup".into(),
            debian_rustc: "/no/such/debian-rustc".into(),
            ..Paths::in_workspace(Path::new("/no/such/workspace"))
        };
        let mut reasons = Vec::new();
        assert!(find(&paths, &mut reasons).is_none());
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons[0].contains("/no/such/rustc"), "{reasons:?}");
    }
}
