//! Every chore as `cargo xtask …`: run-all, test, setup, build-ebpf, bench, train-demo, render-demo, report, fuzz,
//! clean, vm, images, arm64.
//!
//! This crate builds before any system package is there and drives the other programs as processes.
//!
//! # Layout
//!
//! - [`cli`]: the command line
//! - [`setup`], [`packages`]: what the machine needs, and installing it
//! - [`machine`], [`workspace`]: what there is
//! - [`run`]: one run: its network, its programs, its measurements
//! - [`summary`]: what a run measured, as JSON
//! - [`report`]: the same as a page
//! - [`steps`]: `cargo xtask test`
//! - [`fuzz`]: strange input for parsers
//! - [`vm`]: guest kernels
//! - [`images`]: container images
//! - [`arm64`]: programs for 64-bit Arm, tried by an emulator
//! - [`demo`], [`train`]: how the demo clip and the demo pair are made
//! - [`mod@bench`]: limits measured beside each other
//! - [`packet_socket`], [`wire`]: packets as a link receives them, and their lengths on a wire
//! - [`confine`], `tool`: how a started program lives and dies
//! - `debian`: packages for kernels and images, fetched but not installed
//! - `building`, `lock`: folders that are built once and read by many
//! - [`rate`], [`clock`], [`statistics`], [`interrupt`], [`terminal`]: small things that the above share

pub mod arm64;
pub mod bench;
mod building;
pub mod cli;
pub mod clock;
pub mod confine;
mod debian;
pub mod demo;
pub mod fuzz;
pub mod images;
pub mod interrupt;
mod lock;
pub mod machine;
pub mod packages;
pub mod packet_socket;
pub mod rate;
pub mod report;
pub mod run;
pub mod setup;
pub mod statistics;
pub mod steps;
pub mod summary;
pub mod terminal;
mod tool;
pub mod train;
pub mod vm;
pub mod wire;
pub mod workspace;
