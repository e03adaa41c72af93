//! `cargo xtask run-all` when things go wrong: it says what, and leaves nothing behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sluice_tests::{eventually, program::Program};

const LONG: Duration = Duration::from_secs(120);
/// The first run builds the programs, with fewer features than the workspace's tests need.
const BUILD: Duration = Duration::from_secs(900);
const PARTS: [&str; 4] = ["cloud-daemon", "rtsp-relay", "shaper-agent", "edge-daemon"];

/// What a run could leave on the machine.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    namespaces: String,
    links: Vec<String>,
    pins: Vec<String>,
    mounts: String,
    processes: Vec<String>,
}

impl Machine {
    fn now() -> Result<Self> {
        let names = |path: &str| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into()).collect();
            names.sort();
            names
        };
        let namespaces = Command::new("ip").args(["netns", "list"]).output().context("run ip")?;
        let pids = names("/proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        // A thread group's name is cut after 15 letters; these fit.
        let comm = |pid: String| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let processes =
            pids.map(comm).map(|name| name.trim().to_owned()).filter(|name| PARTS.contains(&&**name));
        Ok(Self {
            namespaces: String::from_utf8_lossy(&namespaces.stdout).into(),
            links: names("/sys/class/net"),
            pins: names("/sys/fs/bpf"),
            mounts: fs::read_to_string("/proc/self/mounts")?,
            processes: processes.collect(),
        })
    }
}

/// A run that has come as far as the edge's start.
fn run(directory: &Path) -> Result<Program> {
    let out = directory.join("run");
    let out = out.to_str().context("the test's own paths are UTF-8")?;
    let run =
        Program::start("xtask", &["run-all", "--duration", "90s", "--no-score", "--out", out], directory)?;
    run.line(BUILD, |line| line.contains("running: Ctrl-C"))?;
    Ok(run)
}

/// The process of `part` in the run that is on.
fn process(part: &str) -> Result<Pid> {
    let list = fs::read("/run/sluice/run-all.json").context("the list of what the run made")?;
    let list: serde_json::Value = serde_json::from_slice(&list)?;
    let pids = list["processes"].as_array().context("processes")?;
    pids.iter()
        .filter_map(|process| process["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()))
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == part))
        .map(Pid::from_raw)
        .with_context(|| format!("{part} is not on the list {list}"))
}

fn nothing_is_left(before: &Machine) -> Result<()> {
    // The kernel takes a namespace apart in its own time.
    eventually(Duration::from_secs(10), || Machine::now().is_ok_and(|now| now == *before));
    assert_eq!(Machine::now()?, *before);
    Ok(())
}

/// One test, because only one run can be on at a time.
#[test]
fn a_run_that_is_killed_at_any_part_leaves_nothing_behind() -> Result<()> {
    let before = Machine::now()?;
    for part in PARTS {
        let directory = tempfile::tempdir()?;
        let mut run = run(directory.path())?;
        kill(process(part)?, Signal::SIGKILL)?;
        let status = run.wait(LONG)?;
        let said = format!("{}{}", run.lines().join("\n"), run.log());
        assert_eq!(status.code(), Some(1), "{said}");
        let log: PathBuf = directory.path().join("run").join("logs").join(format!("{part}.log"));
        ensure!(
            said.contains(part) && said.contains(&*log.to_string_lossy()),
            "the message names neither:\n{said}"
        );
        nothing_is_left(&before)?;
    }

    let directory = tempfile::tempdir()?;
    let mut run_to_end = run(directory.path())?;
    run_to_end.signal(Signal::SIGINT)?;
    assert_eq!(run_to_end.wait(LONG)?.code(), Some(130), "{}", run_to_end.log());
    ensure!(directory.path().join("run/summary.json").is_file(), "Ctrl-C keeps the summary");
    nothing_is_left(&before)?;

    let directory = tempfile::tempdir()?;
    let mut killed = run(directory.path())?;
    killed.signal(Signal::SIGKILL)?;
    killed.wait(LONG)?;
    ensure!(
        eventually(Duration::from_secs(10), || Machine::now().is_ok_and(|now| now.processes.is_empty())),
        "the programs must die with the run: {:?}",
        Machine::now()
    );
    let mut clean = Program::start("xtask", &["clean"], directory.path())?;
    ensure!(clean.wait(LONG)?.success(), "{}", clean.log());
    nothing_is_left(&before)
}
