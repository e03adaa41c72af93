//! `run-all`: one run on this machine, from an empty network to a report.
//!
//! # Layout
//!
//! - [`plan`]: what the run will do, checked
//! - [`rest`]: what it makes, written down so that nothing stays behind
//! - [`network`], [`netns`], [`forwarding`]: bridge, veth and namespace
//! - [`docker`]: the same as containers
//! - [`programs`], [`part`]: the programs as processes
//! - [`session`]: the run itself, from the first program's start to the last one's end
//! - [`uplink`]: what passed the limit
//! - [`samples`], [`model`]: the edge's counters, the models' metadata
//! - [`finish`]: results into summary, score and report

pub mod docker;
pub mod finish;
pub mod forwarding;
pub mod model;
pub mod netns;
pub mod network;
pub mod part;
pub mod plan;
pub mod programs;
pub mod rest;
pub mod samples;
pub mod session;
pub mod uplink;

use std::time::Instant;

use anyhow::Result;

use crate::cli::{RunAll, Runtime};
use crate::images::engine::CLIENT;
use crate::interrupt::{Interrupt, Interrupted};
use crate::machine::{self, Machine};
use crate::terminal::stage;
use crate::workspace::Workspace;
use plan::Plan;
use rest::Lock;
use session::Session;

/// The packages that a run is made of.
const PACKAGES: [&str; 4] = ["cloud-daemon", "edge-daemon", "rtsp-relay", "shaper-agent"];

/// Runs everything and reports.
///
/// # Errors
///
/// If the machine cannot hold a run, or a part of it fails; [`Interrupted`] after Ctrl-C, when the summary has
/// been written all the same. Nothing of the run but its directory is left in any case.
pub fn run_all(options: &RunAll) -> Result<()> {
    let begin = Instant::now();
    machine::require_root()?;
    let interrupt = Interrupt::register()?;
    let workspace = Workspace::locate()?;
    let plan = Plan::new(options, &workspace)?;

    stage("checking the machine");
    let machine = Machine::read();
    println!("   kernel {}, {} with {} CPUs", machine.kernel, machine.cpu, machine.cpus);
    machine::check_kernel(&machine)?;
    // Before anything else: it also removes what a killed run left, such as a program on our port.
    let mut lock = Lock::take()?;
    machine::check_port(programs::CLOUD_PORT)?;
    if plan.runtime == Runtime::Docker && machine::has_program(CLIENT) {
        docker::check_engine()?;
    }

    stage("setting up");
    crate::setup::setup(&workspace).or_else(|error| interrupt.check().and(Err(error)))?;
    interrupt.check()?;
    stage("building");
    workspace.build_release(&PACKAGES).or_else(|error| interrupt.check().and(Err(error)))?;
    interrupt.check()?;

    if plan.runtime == Runtime::Docker {
        docker::load_images(&workspace, &mut lock, &interrupt)?;
        interrupt.check()?;
    }

    plan.make_directories()?;
    let mut session = Session::begin(&workspace, &plan, lock, &interrupt, begin)?;
    let mut measured = session.measure(&plan, &interrupt)?;
    let cut_short = measured.interrupted;
    // A program that does not end well must not cost the measurements.
    let mut ended = std::mem::replace(&mut measured.ended, Ok(()));
    if !plan.keep {
        ended = ended.and(session.end());
    }
    finish::finish(&workspace, &plan, machine, measured, &interrupt)?;
    if plan.keep {
        session.keep(&plan, &interrupt)?;
    }
    ended?;
    if cut_short || (interrupt.is_set() && !plan.keep) { Err(Interrupted.into()) } else { Ok(()) }
}

/// Removes what a killed run left.
///
/// # Errors
///
/// If a run is on, or something cannot be removed.
pub fn clean() -> Result<()> {
    machine::require_root()?;
    drop(Lock::take()?);
    println!("clean");
    Ok(())
}
