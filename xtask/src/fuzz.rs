//! `fuzz`: strange input for the parsers of what users write and fetch.
//!
//! The targets in `fuzz/` are laid out as cargo-fuzz does it, and it can run them, too. This chore needs neither it nor a
//! nightly compiler: libFuzzer's coverage is a pass of LLVM's that every compiler has, and the parsers have no unsafe
//! code that an address sanitizer would watch.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::confine::{Place, confine};
use crate::interrupt::Interrupt;
use crate::setup;
use crate::terminal::{StatusLine, stage};
use crate::workspace::Workspace;

/// What makes the compiler count the edges that are taken, and makes failed assertions and overflows findings. Stable
/// options all. Comparisons are not traced: that takes half of the time, and words that an input has to have are in the
/// targets' dictionaries.
const INSTRUMENTATION: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Cdebuginfo=line-tables-only",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];
/// An input that takes a parser longer than this is a finding, in seconds.
const SLOW: u32 = 5;

/// Runs one target, or all, for `seconds` each, and says how far each came.
///
/// # Errors
///
/// If there is no such target, it cannot be built, or something was found; then the input is named.
pub fn fuzz(workspace: &Workspace, target: Option<&str>, seconds: u32) -> Result<()> {
    let fuzz =
        Fuzz { workspace, package: workspace.root().join("fuzz"), out: workspace.target().join("fuzz") };
    let targets = chosen(fuzz.targets()?, target)?;
    let interrupt = Interrupt::register()?;
    setup::setup(workspace)?;
    stage("building the targets");
    let built = fuzz.cargo("build").arg("--bins").status().context("cannot run cargo")?;
    interrupt.check()?;
    ensure!(built.success(), "the targets could not be built: cargo's messages above say why");
    let mut findings = Vec::new();
    for target in &targets {
        let summary = fuzz.run(target, seconds, &interrupt)?;
        println!("{target:11} {summary}");
        findings.extend(summary.finding.map(|finding| format!("{target}: {finding}")));
    }
    ensure!(findings.is_empty(), "found:\n{}", findings.join("\n"));
    Ok(())
}

fn chosen(all: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>> {
    match wanted {
        None => Ok(all),
        Some(wanted) if all.iter().any(|name| name == wanted) => Ok(vec![wanted.to_owned()]),
        Some(wanted) => bail!("there is no fuzz target `{wanted}`; there are {}", all.join(", ")),
    }
}

struct Fuzz<'a> {
    workspace: &'a Workspace,
    package: PathBuf,
    out: PathBuf,
}

impl Fuzz<'_> {
    fn targets(&self) -> Result<Vec<String>> {
        let folder = self.package.join("fuzz_targets");
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut targets: Vec<String> = files
            .filter(|path| path.extension() == Some(OsStr::new("rs")))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        targets.sort();
        Ok(targets)
    }

    fn cargo(&self, word: &str) -> Command {
        let mut command = self.workspace.cargo();
        command.current_dir(&self.package).env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\u{1f}"));
        // With a target named, build scripts go without the instrumentation, which they could not be linked with.
        command.args([word, "--release", "--target", "host-tuple", "--target-dir"]).arg(&self.out);
        command
    }

    /// Feeds a target. What it has found new lies in `corpus` and is where the next run begins.
    fn run(&self, target: &str, seconds: u32, interrupt: &Interrupt) -> Result<Summary> {
        let corpus = self.folder("corpus", target)?;
        let artifacts = self.folder("artifacts", target)?;
        let log = self.out.join(format!("{target}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = self.cargo("run");
        command
            .args(["--quiet", "--bin", target, "--"])
            .arg(&corpus)
            .arg(self.package.join("seeds").join(target));
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={SLOW}"));
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg("-print_final_stats=1");
        let words = self.package.join(format!("{target}.dict"));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        command.env("RUST_BACKTRACE", "0").stdout(file.try_clone()?).stderr(file);
        confine(&mut command, Place::Here);
        let status = wait(command, target, seconds, interrupt)?;
        let output = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        Summary::of(&String::from_utf8_lossy(&output), status, &log)
    }

    fn folder(&self, kind: &str, target: &str) -> Result<PathBuf> {
        let folder = self.out.join(kind).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// Runs a target to its end, or until a signal comes.
fn wait(mut command: Command, target: &str, seconds: u32, interrupt: &Interrupt) -> Result<ExitStatus> {
    let begin = Instant::now();
    let mut child = command.spawn().context("cannot run cargo")?;
    let mut line = StatusLine::default();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(interrupted) = interrupt.check() {
            child.kill()?;
            child.wait()?;
            return Err(interrupted);
        }
        line.show(&format!("{target}: {} of {seconds} s", begin.elapsed().as_secs().min(seconds.into())));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What became of a target.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    executions: u64,
    /// Edges of the program that some input has taken.
    edges: u64,
    seconds: u64,
    finding: Option<String>,
}

impl Summary {
    /// From what libFuzzer printed.
    fn of(output: &str, status: ExitStatus, log: &Path) -> Result<Self> {
        let number = |text: Option<&str>| text.and_then(|text| text.trim().split(' ').next()?.parse().ok());
        let statistic = |name: &str| {
            let prefix = format!("stat::{name}:");
            number(output.lines().find_map(|line| line.strip_prefix(&prefix)))
        };
        let edges =
            output.lines().rev().find_map(|line| number(line.split_once(" cov: ").map(|(_, rest)| rest)));
        let Some(executions) = statistic("number_of_executed_units") else {
            let end: Vec<&str> = output.lines().rev().take(20).collect();
            let end: Vec<&str> = end.into_iter().rev().collect();
            bail!("the target did not run ({status}):\n{}", end.join("\n"));
        };
        let done = output.lines().find_map(|line| line.split_once(" runs in ").map(|(_, rest)| rest));
        let finding = (!status.success()).then(|| finding(output, log));
        // A seed that is a finding ends it before there are more figures.
        let (edges, seconds) = (edges.unwrap_or(0), number(done).unwrap_or(0));
        Ok(Self { executions, edges, seconds, finding })
    }
}

/// What was found, where its input is, and where to read on.
fn finding(output: &str, log: &Path) -> String {
    let said = output.lines().skip_while(|line| !line.contains(" panicked at ")).take(2);
    let said: Vec<&str> = said.collect();
    let summary = output.lines().find_map(|line| line.strip_prefix("SUMMARY: libFuzzer: "));
    let what = if said.is_empty() { summary.unwrap_or("it ended early").to_owned() } else { said.join(" ") };
    let input =
        output.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let input = input.map_or_else(String::new, |path| format!("\n  input  {path}"));
    format!("{what}{input}\n  log    {}", log.display())
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { executions, edges, seconds, finding } = self;
        write!(f, "{executions:>10} executions in {seconds} s, {edges} edges, ")?;
        f.write_str(if finding.is_some() { "something found" } else { "nothing found" })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const LOG: &str = "/log";

    #[test]
    fn a_run_without_findings() {
        let output = "#2\tINITED cov: 10 ft: 11 corp: 1/1b\n#95\tNEW    cov: 123 ft: 456 corp: 7/30b\nDone 95 runs in 3 \
                      second(s)\nstat::number_of_executed_units: 95\nstat::average_exec_per_sec:     31\n";
        let summary = Summary::of(output, ExitStatus::from_raw(0), Path::new(LOG)).unwrap();
        assert_eq!(summary, Summary { executions: 95, edges: 123, seconds: 3, finding: None });
    }

    #[test]
    fn a_finding_names_its_input() {
        let output = "#5\tNEW    cov: 12 ft: 3\n\nthread '<unnamed>' (1) panicked at src/units.rs:1:2:\nattempt to multiply \
                      with overflow\nstat::number_of_executed_units: 6\nSUMMARY: libFuzzer: deadly signal\nartifact_prefix='/a/'; \
                      Test unit written to /a/crash-1\n";
        let summary = Summary::of(output, ExitStatus::from_raw(77 << 8), Path::new(LOG)).unwrap();
        let finding = summary.finding.unwrap();
        for part in ["src/units.rs:1:2", "multiply with overflow", "/a/crash-1", LOG] {
            assert!(finding.contains(part), "{finding}");
        }
        let slow = Summary::of(
            "#5 NEW cov: 12\nstat::number_of_executed_units: 6\nSUMMARY: libFuzzer: timeout\n",
            ExitStatus::from_raw(70 << 8),
            Path::new(LOG),
        );
        assert!(slow.unwrap().finding.unwrap().starts_with("timeout"));
    }

    #[test]
    fn a_target_that_does_not_start_is_no_success() {
        let error = Summary::of("error: no bin target\n", ExitStatus::from_raw(101 << 8), Path::new(LOG))
            .unwrap_err();
        assert!(error.to_string().contains("no bin target"), "{error}");
    }

    #[test]
    fn unknown_targets_are_told_the_known_ones() {
        let all = || vec!["burst".to_owned(), "rate".to_owned()];
        assert_eq!(chosen(all(), None).unwrap(), all());
        assert_eq!(chosen(all(), Some("rate")).unwrap(), ["rate"]);
        let error = chosen(all(), Some("rat")).unwrap_err().to_string();
        assert_eq!(error, "there is no fuzz target `rat`; there are burst, rate");
    }
}
