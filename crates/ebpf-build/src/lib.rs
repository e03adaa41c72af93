//! Finds a toolchain that can compile for BPF and builds the kernel programs with it.
