//! The programs that need no library, built for 64-bit Arm and tried on this machine by an emulator.
//!
//! `qemu-user` translates a program's instructions and hands its system calls to this machine's kernel, but for those that
//! it does not know, such as `bpf`: the shaper finds that out and says so. The detector computes with NEON what this
//! machine computes with AVX; both must find the same in a picture.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::images::architecture::Architecture;
use crate::images::programs;
use crate::machine::has_program;
use crate::terminal::stage;
use crate::workspace::Workspace;

/// Cargo's packages, and the program of each.
const PROGRAMS: [(&str, &str); 2] = [("shaper-agent", "shaper-agent"), ("detector", "detect")];
/// What makes building them quick: that they are right is what is tried here, and the emulator is slow whatever they are.
const QUICK: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_DEBUG", "false")];
/// The emulator, as Debian and others call it.
const EMULATORS: [&str; 2] = ["qemu-aarch64-static", "qemu-aarch64"];
/// What the two processors look at, and with what.
const PICTURE: &str = "docs/answered.jpeg";
const MODEL: &str = "models/demo-little.safetensors";
/// By how much scores may differ, and corners, in parts of the picture's width.
const TOLERANCE: f64 = 1e-4;
/// The shaper's exit code where the kernel lacks something.
const UNSUPPORTED: i32 = 5;

/// What `detect image --json` prints.
#[derive(Debug, Deserialize)]
struct Seen {
    width: f64,
    detections: Vec<Detection>,
}

#[derive(Debug, Deserialize)]
struct Detection {
    class: String,
    score: f64,
    x_min: f64,
    y_min: f64,
    x_max: f64,
    y_max: f64,
}

/// Builds the programs and tries them.
///
/// # Errors
///
/// The emulator or Rust's target is missing, a program cannot be built, or does not do what it should.
pub fn try_out(workspace: &Workspace) -> Result<()> {
    if Architecture::of_this_machine() == Some(Architecture::Arm64) {
        println!("this machine is one: its programs are tried by all other tests");
        return Ok(());
    }
    let emulator = EMULATORS
        .into_iter()
        .find(|name| has_program(name))
        .context("no emulator of 64-bit Arm: `cargo xtask setup` installs qemu-user-static")?;
    stage("building for arm64");
    let target = Architecture::Arm64.static_target();
    programs::build_static(workspace, &PROGRAMS.map(|(package, _)| package), target, &QUICK)?;
    // The tests have built it, with the features of the whole workspace; by itself it would be built anew.
    if !workspace.binary("detect").is_file() {
        workspace.build_release(&["detector"])?;
    }
    stage("trying it by emulation");
    let trial =
        Trial { root: workspace.root(), emulator, folder: workspace.target().join(target).join("release") };
    for (_, program) in PROGRAMS {
        trial.says_its_version(program)?;
    }
    trial.shaper_says_what_is_missing()?;
    trial.detector_agrees(&workspace.binary("detect"))
}

struct Trial<'a> {
    root: &'a Path,
    emulator: &'a str,
    folder: PathBuf,
}

impl Trial<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(self.emulator);
        command.arg(self.folder.join(program)).args(arguments);
        output(command, self.root)
    }

    fn says_its_version(&self, program: &str) -> Result<()> {
        let said = text(&self.run(program, &["--version"])?)?;
        let expected = format!("{program} {}", env!("CARGO_PKG_VERSION"));
        ensure!(said.trim() == expected, "{program} --version says {said}");
        println!("   {}", said.trim());
        Ok(())
    }

    fn shaper_says_what_is_missing(&self) -> Result<()> {
        let output = self.run("shaper-agent", &["check"])?;
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

    fn detector_agrees(&self, own: &Path) -> Result<()> {
        let arguments = ["image", "--json", "--model", MODEL, PICTURE];
        let there = seen(&self.run("detect", &arguments)?)?;
        let mut command = Command::new(own);
        command.args(arguments);
        let here = seen(&output(command, self.root)?)?;
        let apart = here.apart(&there)?;
        println!(
            "   detect: {} objects in {PICTURE}, as here; scores and corners differ by {apart:.1e} at most",
            here.detections.len()
        );
        ensure!(apart <= TOLERANCE, "the two processors differ by {apart}");
        Ok(())
    }
}

impl Seen {
    /// The largest difference of a score, or of a corner in parts of the picture's width.
    ///
    /// # Errors
    ///
    /// Not the same objects were seen, or none.
    fn apart(&self, other: &Self) -> Result<f64> {
        ensure!(!self.detections.is_empty(), "nothing was seen in the picture");
        if self.classes().ne(other.classes()) {
            bail!("not the same was seen: {self:?} here, {other:?} there");
        }
        let pairs = self.detections.iter().zip(&other.detections);
        Ok(pairs.map(|(here, there)| here.apart(there, self.width)).fold(0.0, f64::max))
    }

    fn classes(&self) -> impl Iterator<Item = &str> {
        self.detections.iter().map(|detection| detection.class.as_str())
    }
}

impl Detection {
    fn apart(&self, other: &Self, width: f64) -> f64 {
        let corners = |of: &Self| [of.x_min, of.y_min, of.x_max, of.y_max];
        let pairs = corners(self).into_iter().zip(corners(other));
        pairs.map(|(a, b)| (a - b).abs() / width).fold((self.score - other.score).abs(), f64::max)
    }
}

fn output(mut command: Command, folder: &Path) -> Result<Output> {
    let name = command.get_program().display().to_string();
    command.current_dir(folder).stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_compared() {
        let detection = |class: &str, score, x_min| Detection {
            class: class.into(),
            score,
            x_min,
            y_min: 1.0,
            x_max: 50.0,
            y_max: 60.0,
        };
        let seen = |detections| Seen { width: 100.0, detections };
        let here = seen(vec![detection("person", 0.5, 10.0), detection("helmet", 0.25, 20.0)]);
        let near = seen(vec![detection("person", 0.5625, 10.0), detection("helmet", 0.25, 20.5)]);
        assert!((here.apart(&near).unwrap() - 0.0625).abs() < 1e-12);
        assert!((here.apart(&here).unwrap()).abs() < 1e-12);
        let other = seen(vec![detection("person", 0.5, 10.0)]);
        assert!(here.apart(&other).unwrap_err().to_string().contains("not the same"));
        assert!(seen(Vec::new()).apart(&seen(Vec::new())).is_err(), "nothing proves nothing");
    }
}
