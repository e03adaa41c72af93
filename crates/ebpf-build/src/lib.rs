//! Finds a toolchain that can compile for BPF and builds the kernel programs with it.
//!
//! A BPF program needs a `core` for `bpfel-unknown-none`, which no Rust release ships, and a linker that
//! understands LLVM bitcode. [`Toolchain::find`] looks, in this order, for
//!
//! 1. an installed toolchain with the `rust-src` component (`core` is compiled from it);
//! 2. Debian's `rustc-web` with `libstd-rust-web-dev-bpf` (a compiled `core`);
//!
//! and for `bpf-linker` in the project's tools folder or on `PATH`. It installs nothing. [`setup`] installs
//! what is missing: `rust-src` through rustup, else Debian's packages; and `bpf-linker` from the crate registry.
//!
//! # Layout
//!
//! - [`Paths`]: where to look; nothing depends on the folder in which the caller runs
//! - `command`: child processes with an environment of their own and a time limit
//! - `compiler`: the two kinds of compiler and what each needs
//! - `linker`: `bpf-linker`, and the LLVM library that it loads
//! - `toolchain`: the two together, and the build itself
//! - `setup`: installs what is missing

mod command;
mod compiler;
mod linker;
mod paths;
mod setup;
mod toolchain;

pub use paths::Paths;
pub use setup::setup;
pub use toolchain::{Program, Toolchain};

/// The target that the kernel programs are compiled for: little-endian BPF.
pub const TARGET: &str = "bpfel-unknown-none";

/// The command that installs what [`Toolchain::find`] misses; errors name it.
pub const SETUP_COMMAND: &str = "cargo xtask setup";
