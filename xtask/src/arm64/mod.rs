//! Programs built for 64-bit Arm and tried on this machine by an emulator: the shaper, which needs no library, and the
//! detector and the edge daemon, which run with the libraries and plugins of the edge's image.
//!
//! `qemu-user` translates a program's instructions and hands its system calls to this machine's kernel, but for those that
//! it does not know, such as `bpf`: the shaper finds that out and says so. Arm computes with NEON what this machine computes
//! with AVX; both must see the same in a picture and in a video.

mod edge;
mod seen;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cli::{Images, Load};
use crate::images::architecture::Architecture;
use crate::images::{self, programs};
use crate::interrupt::Interrupt;
use crate::machine::has_program;
use crate::terminal::stage;
use crate::workspace::Workspace;
use seen::Seen;

/// Cargo's packages of the programs that the libraries of Debian are linked with.
const DYNAMIC: [&str; 2] = ["detector", "edge-daemon"];
/// The programs.
const SHAPER: &str = "shaper-agent";
const DETECTOR: &str = "detect";
const EDGE: &str = "edge-daemon";
/// What makes building them quick: that they are right is what is tried here, and the emulator is slow whatever they are.
/// Only the network's arithmetic would take too long if nothing were optimized, and that is in the workspace; and one crate
/// has its instructions for 16-bit numbers in functions that must be inlined for the assembler to take them.
const QUICK: [&str; 4] = [
    "profile.release.debug=false",
    "profile.release.opt-level=1",
    "profile.release.package.\"*\".opt-level=0",
    "profile.release.package.gemm-f16.opt-level=1",
];
/// The emulator, as Debian and others call it.
const EMULATORS: [&str; 2] = ["qemu-aarch64-static", "qemu-aarch64"];
/// What the two processors look at, and with what.
const PICTURE: &str = "docs/answered.jpeg";
const VIDEO: &str = "demo/site.mp4";
const FRAMES: usize = 3;
const MODEL: &str = "models/demo-little.safetensors";
/// By how much scores may differ, and corners, in parts of the picture's width.
const TOLERANCE: f32 = 1e-4;
/// The shaper's exit code where the kernel lacks something.
const UNSUPPORTED: i32 = 5;

/// Builds the programs and tries them.
///
/// # Errors
///
/// The emulator, Rust's targets or Debian's packages are missing, a program cannot be built, or does not do what it should;
/// or the work is interrupted.
pub fn try_out(workspace: &Workspace) -> Result<()> {
    if Architecture::of_this_machine() == Some(Architecture::Arm64) {
        println!("this machine is one: its programs are tried by all other tests");
        return Ok(());
    }
    let emulator = EMULATORS
        .into_iter()
        .find(|name| has_program(name))
        .context("no emulator of 64-bit Arm: `cargo xtask setup` installs qemu-user-static")?;
    let interrupt = Interrupt::register()?;
    let directory = tempfile::tempdir().context("cannot make a temporary folder")?;
    build(workspace, directory.path(), &interrupt)
        .and_then(|there| {
            stage("trying it by emulation");
            Trial { workspace, emulator, there, folder: directory.path(), interrupt: &interrupt }.run()
        })
        .or_else(|error| interrupt.check().and(Err(error)))
}

/// Where what was built for the other processor is.
struct There {
    /// The shaper.
    shaper: PathBuf,
    /// The folder of the other programs.
    programs: PathBuf,
    /// The files of the edge's image.
    image: PathBuf,
}

/// Builds the programs for both processors, and lays out the edge's image below `folder`.
fn build(workspace: &Workspace, folder: &Path, interrupt: &Interrupt) -> Result<There> {
    stage("building for arm64");
    let target = Architecture::Arm64.static_target();
    programs::build_static(workspace, &[SHAPER], target, &QUICK)?;
    let programs = images::build_for(workspace, Architecture::Arm64, &DYNAMIC, &QUICK, interrupt)?;
    let shaper = workspace.target().join(target).join("release").join(SHAPER);
    // The tests have built these, with the features of the whole workspace; by themselves they would be built anew.
    if [DETECTOR, EDGE].iter().any(|program| !workspace.binary(program).is_file()) {
        workspace.build_release(&DYNAMIC)?;
    }
    let options = Images {
        arch: Some(Architecture::Arm64),
        only: vec!["edge".into()],
        out: None,
        tag: None,
        binaries: Some(programs.clone()),
        load: Load::Never,
        tree: Some(folder.into()),
        dockerfile: false,
    };
    images::images(workspace, &options, interrupt)?;
    Ok(There { shaper, programs, image: folder.join("sluice-edge") })
}

struct Trial<'a> {
    workspace: &'a Workspace,
    emulator: &'a str,
    there: There,
    folder: &'a Path,
    interrupt: &'a Interrupt,
}

impl Trial<'_> {
    fn run(&self) -> Result<()> {
        for program in [SHAPER, DETECTOR, EDGE] {
            self.says_its_version(program)?;
        }
        self.shaper_says_what_is_missing()?;
        self.detector_agrees()?;
        self.edge_agrees()
    }

    /// `program` of this machine, or the other processor's by emulation.
    fn command(&self, program: &str, processor: Processor) -> Command {
        let mut command = match processor {
            Processor::Ours => Command::new(self.workspace.binary(program)),
            Processor::Arm => {
                let path = match program {
                    SHAPER => self.there.shaper.clone(),
                    EDGE => self.there.image.join("usr/bin").join(EDGE),
                    _ => self.there.programs.join(program),
                };
                let mut command = Command::new(self.emulator);
                // Where the program's loader, libraries and plugins are.
                command.arg("-L").arg(&self.there.image).arg(path);
                command
            }
        };
        command.current_dir(self.workspace.root());
        command
    }

    fn says_its_version(&self, program: &str) -> Result<()> {
        let said = text(&output(self.command(program, Processor::Arm).arg("--version"))?)?;
        let expected = format!("{program} {}", env!("CARGO_PKG_VERSION"));
        ensure!(said.trim() == expected, "{program} --version says {said}");
        println!("   {}", said.trim());
        Ok(())
    }

    fn shaper_says_what_is_missing(&self) -> Result<()> {
        let output = output(self.command(SHAPER, Processor::Arm).arg("check"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let line = said.lines().find(|line| line.contains("limit program"));
        let line =
            line.with_context(|| format!("shaper-agent check says nothing of its program: {output:?}"))?;
        ensure!(
            output.status.code() == Some(UNSUPPORTED) && line.contains("Function not implemented"),
            "shaper-agent check ends with {}: {line}",
            output.status
        );
        println!("   shaper-agent check: {}", line.trim());
        Ok(())
    }

    fn detector_agrees(&self) -> Result<()> {
        let [here, there] = [Processor::Ours, Processor::Arm].map(|processor| {
            let mut command = self.command(DETECTOR, processor);
            seen(&output(command.args(["image", "--json", "--model", MODEL, PICTURE]))?)
        });
        let here = here?;
        let what = format!("detect: {} objects in {PICTURE}", here.detections.len());
        agree(&what, &[here], &[there?])
    }

    fn edge_agrees(&self) -> Result<()> {
        let [here, there] = [Processor::Ours, Processor::Arm].map(|processor| {
            let folder = tempfile::tempdir_in(self.folder).context("cannot make a temporary folder")?;
            let command = self.command(EDGE, processor);
            edge::watch(command, (VIDEO, MODEL), FRAMES, folder.path(), self.interrupt)
        });
        let here = here?;
        let objects: usize = here.iter().map(|seen| seen.detections.len()).sum();
        agree(
            &format!("edge-daemon: {objects} objects in {FRAMES} frames of {VIDEO}"),
            &here,
            &there.context("by emulation")?,
        )
    }
}

/// Which processor a program is for.
#[derive(Debug, Clone, Copy)]
enum Processor {
    /// This machine's.
    Ours,
    /// The other one, by emulation.
    Arm,
}

/// Checks that both processors have seen the same.
fn agree(what: &str, here: &[Seen], there: &[Seen]) -> Result<()> {
    ensure!(here.len() == there.len(), "{what}: {} pictures here, {} there", here.len(), there.len());
    let apart = here.iter().zip(there).map(|(here, there)| here.apart(there));
    let apart = apart.collect::<Result<Vec<_>>>()?.into_iter().fold(0.0, f32::max);
    println!("   {what}, as here; scores and corners differ by {apart:.1e} at most");
    ensure!(apart <= TOLERANCE, "the two processors differ by {apart}");
    Ok(())
}

fn output(command: &mut Command) -> Result<Output> {
    let name = command.get_program().display().to_string();
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))
}

fn text(output: &Output) -> Result<String> {
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn seen(output: &Output) -> Result<Seen> {
    let said = text(output).context("detect image")?;
    serde_json::from_str(&said).with_context(|| format!("detect image printed {said}"))
}
