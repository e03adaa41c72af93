//! `cargo xtask test`: everything that CI checks, step by step.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::interrupt::Interrupt;
use crate::run::netns;
use crate::run::network::{BRIDGE, HOST_LINK, NAMESPACE, exists};
use crate::summary::Summary;
use crate::terminal::stage;
use crate::vm;
use crate::vm::home::Home;
use crate::vm::kernel::Kernel;
use crate::workspace::Workspace;

/// What a test prints when it cannot run where it is.
const SKIPPED: &str = "SKIPPED: ";
/// Beginnings of the reasons for which a test may be skipped on the project's own CI machine, where all else
/// must run: nothing there can do these.
const ALLOWED_IN_CI: [&str; 1] = ["no CUDA device"];
/// The packages outside of the workspace: kernel programs and fuzz targets.
const OUTSIDE: [&str; 3] = ["shaper-ebpf", "crates/bench-peer/ebpf", "fuzz"];
/// How long each parser is fuzzed, in seconds: enough to go through the seeds and what is near them.
const FUZZ_SECONDS: &str = "5";
/// The end-to-end run's rate and length.
const RATE: &str = "64kbit";
const DURATION: &str = "20s";

/// One step: its name, and what it does. It gives the reasons of the tests that were skipped.
type Step<'a> = (&'static str, Box<dyn Fn() -> Result<Vec<String>> + 'a>);

/// Runs every step, whatever became of the others, and says what passed.
///
/// # Errors
///
/// If a step failed, or on CI a test was skipped that must run there.
pub fn test(workspace: &Workspace, quick: bool) -> Result<()> {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut times = Vec::new();
    for (name, step) in steps(workspace, quick) {
        stage(name);
        let begin = Instant::now();
        let result = step().and_then(|reasons| {
            skipped += reasons.len();
            match reasons
                .iter()
                .find(|reason| ci && !ALLOWED_IN_CI.iter().any(|start| reason.starts_with(start)))
            {
                Some(reason) => Err(anyhow!("a test was skipped that must run in CI: {reason}")),
                None => Ok(()),
            }
        });
        match &result {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                println!("{name} failed: {error:#}");
            }
        }
        times.push((name, begin.elapsed(), result.is_ok()));
    }
    println!();
    for (name, time, ok) in times {
        println!("{:24} {:>7.1} s  {}", name, time.as_secs_f64(), if ok { "passed" } else { "FAILED" });
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("{failed} steps failed");
    }
    Ok(())
}

fn steps(workspace: &Workspace, quick: bool) -> Vec<Step<'_>> {
    let cargo = |words: &'static [&'static str]| -> Box<dyn Fn() -> Result<Vec<String>> + '_> {
        Box::new(move || {
            let mut command = workspace.cargo();
            command.args(words);
            watched(command)
        })
    };
    let mut steps: Vec<Step<'_>> = vec![
        ("set-up", Box::new(|| crate::setup::setup(workspace).map(|()| Vec::new()))),
        ("format", cargo(&["fmt", "--all", "--check"])),
        ("format, outside", Box::new(|| outside(workspace, &["fmt", "--check"]))),
        (
            "lints",
            cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
        ),
        // Release, so that one build serves these tests and the end-to-end run.
        ("programs", cargo(&["build", "--release", "--workspace"])),
        ("guest kernels", Box::new(guest_kernels)),
        // --show-output: else the output of passing tests, and with it why one was skipped, is not printed.
        (
            "tests",
            cargo(&[
                "test",
                "--release",
                "--workspace",
                "--all-targets",
                "--no-fail-fast",
                "--",
                "--show-output",
            ]),
        ),
    ];
    if !quick {
        steps.push(("doc tests", cargo(&["test", "--release", "--workspace", "--doc"])));
        steps.push((
            "documentation",
            Box::new(|| {
                let mut command = workspace.cargo();
                command
                    .args(["doc", "--release", "--workspace", "--no-deps"])
                    .env("RUSTDOCFLAGS", "--deny warnings");
                watched(command)
            }),
        ));
        steps.push(("fuzz", Box::new(|| chore(workspace, &["fuzz", "--seconds", FUZZ_SECONDS]))));
        steps.push(("arm64", Box::new(|| chore(workspace, &["arm64"]))));
        steps.push(("end-to-end run", Box::new(|| end_to_end(workspace))));
    }
    steps
}

/// Fetches the kernels that tests boot, which would be a long silence in the middle of a test.
fn guest_kernels() -> Result<Vec<String>> {
    if std::env::consts::ARCH != "x86_64" {
        // The tests that need them say that they were skipped.
        return Ok(Vec::new());
    }
    vm::setup::setup(&Home::locate()?, &Kernel::ALL, &Interrupt::default()).map(|()| Vec::new())
}

/// Runs cargo in the packages outside of the workspace.
fn outside(workspace: &Workspace, words: &[&str]) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    for package in OUTSIDE {
        let mut command = workspace.cargo();
        command.current_dir(workspace.root().join(package)).args(words);
        reasons.extend(watched(command)?);
    }
    Ok(reasons)
}

/// Runs `command` with its output on the terminal, and collects the reasons of skipped tests.
fn watched(mut command: Command) -> Result<Vec<String>> {
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot run cargo")?;
    // Else the pipe's writing end stays open here and the reading never ends.
    drop(command);
    let mut reasons = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        writeln!(std::io::stdout(), "{line}").ok();
        reasons.extend(skipped(&line).map(str::to_owned));
    }
    let status = child.wait()?;
    ensure!(status.success(), "{status}");
    Ok(reasons)
}

/// Why a test was skipped, if `line` says so.
fn skipped(line: &str) -> Option<&str> {
    line.trim().strip_prefix(SKIPPED)
}

/// Runs another chore as a process, so that its signal handlers are its own.
fn chore(workspace: &Workspace, words: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).current_dir(workspace.root());
    watched(command)
}

/// A short run of everything, and what must hold of it.
fn end_to_end(workspace: &Workspace) -> Result<Vec<String>> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let out = directory.path().join("run");
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let before = (mounts(), pins());
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run-all", "--rate", RATE, "--duration", DURATION, "--out"]).arg(&out);
    // A cargo that run-all starts must find the same workspace and target directory.
    command.current_dir(workspace.root());
    let reasons = watched(command)?;
    check_summary(&out)?;
    for link in [BRIDGE, HOST_LINK] {
        ensure!(!exists(link), "the network link {link} was left behind");
    }
    ensure!(!netns::path(NAMESPACE).exists(), "the network namespace {NAMESPACE} was left behind");
    ensure!(before == (mounts(), pins()), "a mount or a pin under /sys/fs/bpf was left behind");
    // The ports of the run are free again.
    std::thread::sleep(Duration::from_millis(100));
    crate::machine::check_port(crate::run::programs::CLOUD_PORT)?;
    Ok(reasons)
}

/// Names under the BPF file system.
fn pins() -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir("/sys/fs/bpf")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    names
}

fn check_summary(out: &Path) -> Result<()> {
    let summary = Summary::read(out)?;
    let (frames, uplink) = (&summary.frames, &summary.uplink);
    let rate = summary.rate_bit_s.context("the run had no limit")? as f64;
    ensure!(frames.captured > 0 && frames.inferred > 0, "no frame was judged: {frames:?}");
    ensure!(frames.hard > 0, "no frame was hard: {frames:?}");
    ensure!(frames.answered > 0, "the cloud answered no frame: {frames:?}");
    let burst = summary.burst_bytes.context("the limit did not say what its burst is")?;
    let small = summary.small_packet_bytes.context("the limit did not say what small packets may add")?;
    let most = rate / 8.0 * summary.duration_s + (burst + small) as f64;
    ensure!(
        uplink.bytes as f64 <= most,
        "{} bytes passed the uplink in {} s; its limit of {rate} bit/s allows {most:.0} of them",
        uplink.bytes,
        summary.duration_s
    );
    ensure!(summary.accuracy.is_some(), "the run was not scored");
    let report = std::fs::metadata(out.join(crate::report::FILE)).context("no report")?;
    ensure!(report.len() > 10_000, "the report is only {} bytes", report.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_skipped_tests() {
        assert_eq!(skipped("  SKIPPED: no veth \r"), Some("no veth"));
        assert_eq!(skipped("test skipped ... ok"), None);
    }

    #[test]
    fn a_failed_command_fails_its_step() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            watched(command)
        };
        assert!(shell("exit 0").unwrap().is_empty());
        assert!(shell("exit 3").unwrap_err().to_string().contains('3'));
    }
}
