//! Every chore as `cargo xtask …`: run-all, test, setup, build-ebpf, train-demo, render-demo, report, fuzz,
//! clean, vm, images, arm64.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xtask::cli::{Chore, Cli};
use xtask::interrupt::{Interrupt, Interrupted};
use xtask::workspace::Workspace;
use xtask::{arm64, bench, demo, fuzz, images, report, run, setup, steps, train, vm};

fn main() -> ExitCode {
    match chore(Cli::parse().chore) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore(chore: Chore) -> Result<ExitCode> {
    let done = match chore {
        Chore::RunAll(options) => run::run_all(&options),
        Chore::Test { quick } => steps::test(&Workspace::locate()?, quick),
        Chore::Setup => setup::setup(&Workspace::locate()?),
        Chore::BuildEbpf => setup::build_ebpf(&Workspace::locate()?),
        Chore::RenderDemo => demo::render(&Workspace::locate()?),
        Chore::TrainDemo { minutes } => train::train(&Workspace::locate()?, minutes),
        Chore::Report { directory } => report::write(&directory),
        Chore::Bench { what } => bench::bench(&what),
        Chore::Fuzz { target, seconds } => fuzz::fuzz(&Workspace::locate()?, target.as_deref(), seconds),
        Chore::Images(options) => images::images(&Workspace::locate()?, &options, &Interrupt::register()?),
        Chore::Arm64 => arm64::try_out(&Workspace::locate()?),
        Chore::Clean => run::clean(),
        Chore::Vm(chore) => return vm::chore(&chore),
    };
    done.map(|()| ExitCode::SUCCESS)
}
