//! Attaches, steers and reports the eBPF token bucket that limits a container's upload.
//!
//! # Layout
//!
//! - [`cli`]: the command line; [`plan`]: what it comes to on this interface
//! - [`run`]: one life of the agent, from attaching to detaching
//! - [`limit`]: the kernel program in force, its maps and counters; `hook`: TCX, or `clsact` before Linux 6.6
//! - `gso`: keeps the container from sending packets that are too long for the rate, through `netns`
//! - `report`: what is printed
//! - `holder`: which process holds a program, to name it
//! - [`error`]: everything that can go wrong, and the exit codes

pub mod cli;
mod clsact;
pub mod error;
mod gso;
mod holder;
mod hook;
pub mod interface;
pub mod limit;
mod netlink;
mod netns;
pub mod plan;
mod pod;
mod privileges;
mod report;
pub mod run;

/// The kernel program, compiled by the build script.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_EBPF_OBJECT"));
