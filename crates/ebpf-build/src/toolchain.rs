//! A compiler and a linker that fit, and the build of a kernel program with them.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    Paths, SETUP_COMMAND, TARGET, command,
    compiler::{self, Compiler, Core},
    linker,
};

/// Far above what a build takes (under a minute, minutes where others keep the machine busy): it only ends one that
/// hangs.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);

/// A compiler for BPF and a linker that fits it.
///
/// Its `Display` is one line: which is used, and why those before it were not.
#[derive(Debug, Clone)]
pub struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
    cargo: PathBuf,
    /// Why the candidates before the chosen ones were not taken.
    reasons: Vec<String>,
}

/// A kernel program's package: a crate of its own, outside of any workspace, with its own `Cargo.lock`.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The folder of its `Cargo.toml`.
    pub package: &'a Path,
    /// The binary target whose object is wanted.
    pub binary: &'a str,
}

impl Toolchain {
    /// Looks for a compiler and a linker; installs nothing.
    ///
    /// # Errors
    ///
    /// One of the two is not there. The error says why each candidate does not do and names the command that
    /// installs it.
    pub fn find(paths: &Paths) -> Result<Self> {
        let mut reasons = Vec::new();
        let compiler = compiler::find(paths, &mut reasons);
        let linker = linker::find(paths, &mut reasons);
        let (Some(compiler), Some(linker)) = (compiler, linker) else {
            bail!(
                "the kernel programs cannot be built here yet:\n  {}\nRun `{SETUP_COMMAND}` once; it installs what is missing",
                reasons.join("\n  ")
            );
        };
        let cargo = compiler.cargo.clone().unwrap_or_else(|| paths.cargo.clone());
        Ok(Self { compiler, linker, cargo, reasons })
    }

    /// Builds `program` in release mode under `target_dir`, for kernels of the machine's own architecture.
    ///
    /// Returns the path of the object. The caller's own cargo settings (`RUSTFLAGS`, wrappers, toolchain) have no
    /// influence.
    ///
    /// # Errors
    ///
    /// The build fails (the error ends with what cargo printed last), or `target_dir` cannot be written.
    pub fn build(&self, program: &Program<'_>, target_dir: &Path) -> Result<PathBuf> {
        let llvm_dir = self.llvm_dir(target_dir)?;
        let mut build = command::clean(&self.cargo);
        build
            .current_dir(program.package)
            .args([
                "build",
                "--release",
                "--locked",
                "--target",
                TARGET,
                "--bin",
                program.binary,
                "--target-dir",
            ])
            .arg(target_dir)
            .env("RUSTC", &self.compiler.rustc)
            // Empty switches off a wrapper that a configuration file names.
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            // The BPF target and two language features that it needs are unstable in any compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags().join("\u{1f}"))
            .env("LD_LIBRARY_PATH", llvm_dir);
        if self.compiler.core == Core::Source {
            build.args(["-Z", "build-std=core"]);
        }
        command::watched(&mut build, BUILD_LIMIT, &mut |_| ())
            .with_context(|| format!("cannot build {} with {self}", program.package.display()))?;
        let object = target_dir.join(TARGET).join("release").join(program.binary);
        if !object.is_file() {
            bail!("the build of {} made no {}", program.package.display(), object.display());
        }
        Ok(object)
    }

    fn rustflags(&self) -> [String; 8] {
        let linker = format!("linker={}", self.linker.display());
        // The layout of `pt_regs` and the like follows the machine whose kernel will run the program.
        let arch = format!("bpf_target_arch=\"{}\"", std::env::consts::ARCH);
        ["-C", "debuginfo=2", "-C", "link-arg=--btf", "-C", &linker, "--cfg", &arch].map(str::to_owned)
    }

    /// A folder that holds nothing but the compiler's LLVM library: the linker loads the first file called
    /// `libLLVM*` that it meets on `LD_LIBRARY_PATH`, and a distribution's folder may hold several.
    fn llvm_dir(&self, target_dir: &Path) -> Result<PathBuf> {
        let dir = target_dir.join("llvm");
        let link = dir.join("libLLVM.so");
        if fs::read_link(&link).is_ok_and(|current| current == self.compiler.llvm) {
            return Ok(dir);
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        match fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", link.display()));
            }
            _ => {}
        }
        std::os::unix::fs::symlink(&self.compiler.llvm, &link)
            .with_context(|| format!("cannot make the link {}", link.display()))?;
        Ok(dir)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; linked by {}", self.compiler.description, self.linker.display())?;
        if !self.reasons.is_empty() {
            write!(f, " (not used: {})", self.reasons.join("; "))?;
        }
        Ok(())
    }
}
