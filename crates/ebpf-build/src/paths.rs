use std::path::{Path, PathBuf};

/// The programs and folders to look in. A bare name is looked up on `PATH`.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The cargo that builds where a toolchain brings none of its own, and that installs the linker.
    pub cargo: PathBuf,
    /// The compiler that is tried first.
    pub rustc: PathBuf,
    /// Lists further toolchains and adds `rust-src`.
    pub rustup: PathBuf,
    /// Debian's compiler, which may have a `core` for BPF beside it.
    pub debian_rustc: PathBuf,
    /// Root of the project's own tools, as `cargo install --root` takes it: the linker is `<tools>/bin/bpf-linker`.
    pub tools: PathBuf,
}

impl Paths {
    /// The usual places, with the tools in `target/tools` under the workspace's root.
    ///
    /// The tools do not follow `CARGO_TARGET_DIR`: every build of one checkout shares them.
    #[must_use]
    pub fn in_workspace(root: &Path) -> Self {
        Self {
            cargo: "cargo".into(),
            rustc: "rustc".into(),
            rustup: "rustup".into(),
            debian_rustc: "/usr/bin/rustc".into(),
            tools: root.join("target").join("tools"),
        }
    }

    /// Where the project's own linker is, if it is installed.
    #[must_use]
    pub fn linker(&self) -> PathBuf {
        self.tools.join("bin").join("bpf-linker")
    }
}
