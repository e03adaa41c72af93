//! Limits on a container's upload, beside each other.
//!
//! # Layout
//!
//! - [`options`], [`settings`]: the command line, and what it means on a kernel
//! - [`contender`], [`limit`]: the limits, and how each is put in force; [`programs`], [`tool`]: the programs that
//!   hold some of them
//! - [`part`], [`cell`], [`plan`]: what is measured, and what of it at the same time
//! - [`pair`]: the path that is limited; [`lane`]: a path made ready
//! - [`upload`], [`tcp_info`], [`ping`], [`flood`]: what is sent over it
//! - [`trace`], [`coverage`]: what comes out behind the limit
//! - [`traffic`], [`change`], [`program`], [`cpu`]: what that tells
//! - [`session`]: the measurements on this kernel; [`guest`]: on another one
//! - [`results`], [`table`], [`view`], [`blocks`], [`ratios`]: what is printed and written

pub mod blocks;
pub mod cell;
pub mod change;
pub mod contender;
pub mod coverage;
pub mod cpu;
pub mod flood;
pub mod guest;
pub mod lane;
pub mod limit;
pub mod options;
pub mod pair;
pub mod part;
pub mod ping;
pub mod plan;
pub mod program;
pub mod programs;
pub mod ratios;
pub mod results;
pub mod session;
pub mod settings;
pub mod table;
pub mod tcp_info;
pub mod tool;
pub mod trace;
pub mod traffic;
pub mod upload;
pub mod view;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::interrupt::{Interrupt, Interrupted};
use crate::machine::{self, Machine};
use crate::terminal::stage;
use crate::vm::kernel::Kernel;
use crate::workspace::Workspace;
use options::{Options, Where};
use part::Part;
use plan::Batch;
use programs::Programs;
use results::{NotHere, OnKernel, Results, VERSION};
use settings::Settings;

/// The packages whose programs take part.
const PACKAGES: [&str; 2] = ["shaper-agent", "bench-peer"];

/// Where is measured unless the user says: the second shows what the first lacks.
const USUAL: [Where; 2] = [Where::Host, Where::Guest(Kernel::Uml612)];

/// Measures, prints the table and writes the JSON.
///
/// # Errors
///
/// If the machine cannot hold the measurement; [`Interrupted`] after Ctrl-C, when what was measured until then has
/// been printed and written all the same.
pub fn run(options: &Options) -> Result<()> {
    machine::require_root()?;
    let interrupt = Interrupt::register()?;
    let (directory, commit) = programs(options)?;
    let [agent, peer] = PACKAGES.map(|name| directory.join(name));
    let programs = Programs::new(agent, peer, options.wondershaper.clone())?;
    if options.only.is_empty() && options.wondershaper.is_none() {
        println!("wondershaper is left out: --wondershaper PATH names its script");
    }
    let started = protocol::time::rfc3339(SystemTime::now());
    let mut results = Results { version: VERSION, started, commit, kernels: Vec::new(), interrupted: false };
    let places: &[Where] = if options.kernel.is_empty() { &USUAL } else { &options.kernel };
    for &place in places {
        let lacking = results.kernels.iter().any(|kernel| !kernel.not_here.is_empty());
        if options.kernel.is_empty() && place != Where::Host && !lacking {
            break;
        }
        let settings = Settings::new(options, place);
        let on_kernel = match place {
            Where::Host => here(&settings, &programs, &interrupt),
            Where::Guest(kernel) => {
                stage(&format!("under the kernel {kernel}"));
                let takes = takes(&plan::plan(&settings, &settings.contenders));
                guest::measure(kernel, &settings, options, &directory, takes, &interrupt)
            }
        };
        match on_kernel {
            Ok(on_kernel) => results.kernels.push(on_kernel),
            Err(_) if interrupt.is_set() => break,
            // A machine without guests still has its own kernel's figures.
            Err(error) if place != Where::Host && !results.kernels.is_empty() => {
                println!("not here: {place}: {error:#}");
                let machine = Machine::read();
                let not_here = vec![NotHere { what: place.to_string(), why: format!("{error:#}") }];
                results.kernels.push(OnKernel {
                    place: place.to_string(),
                    machine,
                    not_here,
                    outcomes: Vec::new(),
                });
            }
            Err(error) => return Err(error),
        }
    }
    results.interrupted = interrupt.is_set();
    if let Some(path) = &options.json {
        results.write(path)?;
    }
    if results.interrupted { Err(Interrupted.into()) } else { Ok(()) }
}

/// The directory of the programs, built if the user names none, and the checkout's commit.
fn programs(options: &Options) -> Result<(PathBuf, Option<String>)> {
    if let Some(directory) = &options.programs {
        return Ok((directory.clone(), None));
    }
    let workspace = Workspace::locate()?;
    crate::setup::toolchain(&workspace)?;
    workspace.build_release(&PACKAGES)?;
    Ok((workspace.target().join("release"), machine::commit(workspace.root())))
}

/// Measures on the kernel that this program runs on, and prints.
fn here(settings: &Settings, programs: &Programs, interrupt: &Interrupt) -> Result<OnKernel> {
    let machine = Machine::read();
    stage(&format!("kernel {}, {} with {} CPUs", machine.kernel, machine.cpu, machine.cpus));
    let (contenders, mut not_here) = session::probe(&settings.contenders, programs)?;
    let mut settings = settings.clone();
    if settings.parts.contains(&Part::Delay)
        && let Some(why) = session::probe_delay()
    {
        settings.parts.retain(|part| *part != Part::Delay);
        not_here.push(why);
    }
    settings.congestion.retain(|control| {
        let lacking = session::probe_congestion(control);
        let is_here = lacking.is_none();
        not_here.extend(lacking);
        is_here
    });
    for NotHere { what, why } in &not_here {
        println!("   not here: {what}: {why}");
    }
    let batches = plan::plan(&settings, &contenders);
    let outcomes = session::measure(&batches, programs, interrupt);
    let on_kernel = OnKernel { place: Where::Host.to_string(), machine, not_here, outcomes };
    print!("{}", blocks::text(&on_kernel));
    Ok(on_kernel)
}

fn takes(batches: &[Batch]) -> Duration {
    batches.iter().map(Batch::takes).sum()
}
