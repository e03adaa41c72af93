//! Guest kernels: runs a command under another kernel than the machine's, with the machine's own files.
//!
//! # Layout
//!
//! - [`kernel`]: which kernels there are
//! - [`home`], [`setup`]: where their files are and how they come there: `part` builds a folder of them, from
//!   Debian's packages, with the kernel unpacked (`image`), its modules chosen (`modules`), and programs made to use
//!   their own C library (`interpreter`); `manifest` tells whether a folder is whole
//! - [`guest`], [`end`]: one guest, and how its command ended: `files` (with `script` and `cpio`) is what it starts
//!   with, `process` its command line, `launch` how it is started, `streams` what goes between it and the host;
//!   `guest/*.sh` is what happens inside

mod cpio;
pub mod end;
mod files;
pub mod guest;
pub mod home;
mod image;
mod interpreter;
pub mod kernel;
mod launch;
mod manifest;
mod modules;
mod part;
mod process;
mod script;
pub mod setup;
mod streams;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Vm, VmRun};
use crate::interrupt::Interrupt;
use end::End;
use guest::Guest;
use home::Home;
use kernel::Kernel;

/// `cargo xtask vm …`. Gives the exit code: of `vm run` the command's own, 124 for a time-out, 125 for a guest that
/// did not boot or died.
///
/// # Errors
///
/// If the chore cannot be done.
pub fn chore(chore: &Vm) -> Result<ExitCode> {
    let interrupt = Interrupt::register()?;
    match chore {
        Vm::Setup { kernel } => {
            let kernels = if kernel.is_empty() { &Kernel::ALL[..] } else { kernel };
            let home = Home::locate()?;
            setup::setup(&home, kernels, &interrupt)?;
            for kernel in kernels {
                println!("{kernel} is in {}", home.path().display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Vm::Run(options) => run(options, &interrupt),
    }
}

fn run(options: &VmRun, interrupt: &Interrupt) -> Result<ExitCode> {
    let mut guest = Guest::new(options.kernel)?
        .memory_mib(options.memory)
        .timeout(options.timeout)
        .show_console(options.console);
    if let Some(cpus) = options.cpus {
        guest = guest.with_cpus(cpus);
    }
    for folder in &options.write {
        guest = guest.write(folder);
    }
    for name in &options.env {
        if let Some(value) = std::env::var_os(name) {
            guest = guest.env(name, value);
        }
    }
    let end = guest.run(&options.command, interrupt)?;
    match &end {
        End::Exited(_) => {}
        End::TimedOut => eprintln!("the guest was killed after {} s", options.timeout.as_secs_f64()),
        End::Died { started, console } => {
            let when = if *started { "while the command ran" } else { "before the command could start" };
            eprintln!("the guest died {when}. The end of its console:\n{}", console.trim_end());
        }
    }
    Ok(ExitCode::from(end.code()))
}
