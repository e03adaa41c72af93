//! Attaches, steers and reports the eBPF token bucket that limits a container's traffic.
//!
//! # Layout
//!
//! From the command line to the kernel:
//!
//! - [`cli`]: the command line; [`spec`]: what is wanted of whom; [`config`]: the same in a file, for many;
//!   [`run`]: what each command does
//! - `agent`: one life of an agent that holds limits; `held`: one of its targets; `status`, `check`: the commands that only
//!   look
//! - [`target`]: from a target's name to the place where the kernel sees it; `sites`, `site`: that place as it is now;
//!   `links`: news of interfaces
//! - `ledger`: all limits of a network namespace under one lock; `limit`: one of them, from attaching to removal; `past`:
//!   what a target that comes back still owes
//! - `choice`: whether packets wait or are dropped; `plan`: what the settings come to in numbers
//! - `hook` (TCX, or `clsact` before Linux 6.6), `queue` (`fq` behind an `ifb`), `gso` (the container's packets): the parts
//!   of a limit that are not in the maps; `expedite`: so that many of them take no longer than few
//! - `kernel`: the programs and maps; `record`: the agent's notes beside them; `pins`, `bpffs`: where they outlive it
//! - `release`: what kernels of which age can do
//! - `report`, `logs`: what is printed; `holder`: which process holds a program, to name it
//! - `outside`: who else is told: [`metrics`] over HTTP, [`notify`] for systemd
//! - [`generate`]: completions and the manual page
//! - [`error`]: everything that can go wrong, and the exit codes

mod agent;
mod bpffs;
mod check;
mod choice;
pub mod cli;
mod clsact;
pub mod config;
pub mod error;
mod expedite;
pub mod generate;
mod gso;
mod held;
mod holder;
mod hook;
mod interface;
mod kernel;
mod ledger;
mod limit;
mod links;
mod logs;
pub mod metrics;
mod netlink;
mod netns;
pub mod notify;
mod outside;
mod pacing;
mod past;
mod pins;
mod plan;
mod pod;
mod privileges;
mod queue;
mod record;
mod release;
mod report;
pub mod run;
mod site;
mod sites;
pub mod spec;
mod status;
pub mod target;

/// The kernel programs, compiled by the build script.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_EBPF_OBJECT"));
