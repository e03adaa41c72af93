//! Networks on the processor: Sluice's kernels beside other engines, with the same weights and the same picture, taking
//! turns on one machine.
//!
//! # Layout
//!
//! - [`options`]: the command line
//! - [`network`], `networks.py`: what is computed
//! - [`engine`], `peer.py`: what computes it
//! - [`outcome`]: what was measured; [`table`]: for the terminal

pub mod engine;
pub mod network;
pub mod options;
pub mod outcome;
pub mod table;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::interrupt::Interrupt;
use crate::machine::{self, Machine};
use crate::terminal::stage;
use crate::workspace::Workspace;
use engine::{Engine, Place, Process, Task, Turn};
use network::Network;
use options::Options;
use outcome::{Outcome, Results};

/// What the peers need, in versions that are known to work together.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Measures, prints the tables and writes the JSON.
///
/// # Errors
///
/// If Python or its packages are missing, an engine fails or computes something else than the others.
pub fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::register()?;
    let workspace = Workspace::locate()?;
    let place = prepare(&workspace, options)?;
    let mut results = Results {
        started: protocol::time::rfc3339(SystemTime::now()),
        commit: machine::commit(workspace.root()),
        machine: Machine::read(),
        flags: flags(),
        outcomes: Vec::new(),
    };
    for &network in &options.networks {
        let reference = reference(network, &place)?;
        for &threads in &options.threads {
            for &batch in &options.batches {
                let task = Task { network, threads, batch };
                stage(&format!("{network}, {threads} threads, {batch} pictures"));
                let outcomes = compare(task, options, &place, &reference, &interrupt)?;
                println!("{}", table::render(&outcomes));
                results.outcomes.extend(outcomes);
                if let Some(path) = &options.json {
                    results.write(path)?;
                }
            }
        }
    }
    Ok(())
}

/// Builds what is to be compared, in a directory below the build's.
fn prepare(workspace: &Workspace, options: &Options) -> Result<Place> {
    let directory = workspace.target().join("bench-inference");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let venv = directory.join("venv");
    let place = Place {
        python: venv.join("bin").join("python"),
        turns: workspace.target().join("release").join("examples").join("turns"),
        directory,
    };
    stage("building the engines in Rust");
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--package", "detector", "--bin", "detect", "--example", "turns"]);
    finish(build)?;
    let requirements = place.directory.join("requirements.txt");
    if fs::read_to_string(&requirements).ok().as_deref() != Some(REQUIREMENTS) {
        stage("installing the engines in Python");
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(&venv);
        finish(make).context("Debian's packages for this: python3 python3-venv")?;
        let wanted = place.directory.join("requirements.new");
        fs::write(&wanted, REQUIREMENTS)?;
        let mut install = Command::new(&place.python);
        install
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&wanted);
        finish(install)?;
        // In place only when everything is.
        fs::rename(wanted, requirements)?;
    }
    let script = place.directory.join("networks.py");
    let known = fs::read_to_string(&script).ok().as_deref() == Some(include_str!("networks.py"));
    fs::write(place.peer(), include_str!("peer.py"))?;
    for &network in &options.networks {
        // The description is written last.
        if !known || !place.file(network, "json").exists() {
            stage(&format!("writing {network}"));
            fs::write(&script, include_str!("networks.py"))?;
            let mut write = Command::new(&place.python);
            write.arg(&script).arg(&place.directory).arg(network.name());
            finish(write)?;
            // It was computed from other weights.
            let _ = fs::remove_file(reference_file(network, &place));
        }
        if options.engines.contains(&Engine::SluiceInt8) {
            stage(&format!("rounding {network} to 8 bits"));
            let mut convert = Command::new(workspace.target().join("release").join("detect"));
            convert
                .arg("convert")
                .args([place.file(network, "safetensors"), place.file(network, engine::INT8)])
                .arg("--int8")
                .arg(place.file(network, "pictures"));
            finish(convert)?;
        }
    }
    Ok(place)
}

fn finish(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status}): its messages above say why");
    }
    Ok(())
}

fn reference_file(network: Network, place: &Place) -> std::path::PathBuf {
    place.file(network, "reference")
}

/// The raw outputs in double precision, rounded at the end.
fn reference(network: Network, place: &Place) -> Result<Vec<f32>> {
    let path = reference_file(network, place);
    if !path.exists() {
        stage(&format!("computing {network} in double precision"));
        let partial = path.with_extension("partial");
        let mut compute = Command::new(&place.python);
        compute.arg(place.peer()).arg("pytorch-f64").arg(place.file(network, "onnx")).args(["1", "1"]);
        compute.arg(place.file(network, "input")).arg(&partial).stdin(std::process::Stdio::null());
        finish(compute)?;
        fs::rename(partial, &path)?;
    }
    engine::floats(&path)
}

/// Lets the engines take turns.
fn compare(
    task: Task,
    options: &Options,
    place: &Place,
    reference: &[f32],
    interrupt: &Interrupt,
) -> Result<Vec<Outcome>> {
    let mut processes: Vec<(Engine, Process, Vec<Turn>)> = Vec::new();
    for &engine in &options.engines {
        interrupt.check()?;
        if !engine.runs_on(task.threads) {
            println!("{engine} is left out: it runs on one thread only");
            continue;
        }
        let process = Process::start(engine, task, place)?;
        process.settle()?;
        processes.push((engine, process, Vec::new()));
    }
    for _ in 0..options.rounds {
        for (_, process, turns) in &mut processes {
            interrupt.check()?;
            turns.push(process.turn(options.runs)?);
            process.settle()?;
        }
    }
    processes
        .iter()
        .map(|(engine, process, turns)| Outcome::new(*engine, task, process, turns, reference))
        .collect()
}

/// The processor's instruction sets that matter here.
fn flags() -> Vec<String> {
    const KNOWN: [&str; 9] =
        ["avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "avx512_vnni", "amx_bf16", "asimd"];
    let info = fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let has = |flag: &&str| line.is_some_and(|line| line.split_whitespace().any(|other| other == *flag));
    KNOWN.into_iter().filter(has).map(str::to_owned).collect()
}
