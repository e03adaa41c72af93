//! `cargo xtask bench shaper` measures what it says: its figures agree with each other, and nothing stays behind.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sluice_tests::{
    eventually,
    program::{self, Program},
    promise::LATENESS,
    skipped,
};

const LONG: Duration = Duration::from_secs(180);
/// A full Ethernet frame.
const FRAME: f64 = 1514.0;
/// The longest packet that TCP hands over at once.
const LONGEST: f64 = 65_536.0;

/// Starts the bench on this machine's own kernel with `arguments` and the programs of this build.
fn bench(arguments: &[&str], directory: &Path) -> Result<Program> {
    let programs = program::path("bench-peer")?;
    let programs = programs.parent().and_then(Path::to_str).context("the programs' directory")?;
    let all = ["bench", "shaper", "--kernel", "host", "--programs", programs];
    Program::start("xtask", &[&all[..], arguments].concat(), directory)
}

fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().with_context(|| format!("no {name} in {value}"))
}

/// Processes in a network namespace other than this one's, by their names.
fn elsewhere() -> Result<Vec<String>> {
    let here = fs::metadata("/proc/self/ns/net")?.ino();
    let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let names = processes.filter_map(|process| {
        let namespace = fs::metadata(process.join("ns/net")).ok()?.ino();
        let name = fs::read_to_string(process.join("comm")).ok()?;
        (namespace != here && ["sleep", "bench-peer", "shaper-agent"].contains(&name.trim())).then_some(name)
    });
    Ok(names.collect())
}

#[test]
fn figures_agree_with_each_other_and_nothing_stays() -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        skipped("needs root");
        return Ok(());
    }
    let before = elsewhere()?;
    agreement()?;
    ensure!(
        eventually(Duration::from_secs(10), || elsewhere().is_ok_and(|now| now == before)),
        "after a run"
    );
    interrupted()?;
    ensure!(
        eventually(Duration::from_secs(10), || elsewhere().is_ok_and(|now| now == before)),
        "after Ctrl-C"
    );
    killed()?;
    ensure!(
        eventually(Duration::from_secs(10), || elsewhere().is_ok_and(|now| now == before)),
        "after SIGKILL"
    );
    Ok(())
}

fn agreement() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("results.json");
    let json = file.to_str().context("the test's own paths are UTF-8")?;
    let arguments = ["--only", "tbf,cilium", "--parts", "rate,small,fair,change,program", "--rates", "1mbit"];
    let more = ["--cc", "cubic", "--seconds", "6", "--json", json];
    let mut run = bench(&[&arguments[..], &more[..]].concat(), directory.path())?;
    let status = run.wait(LONG)?;
    let said = run.lines().join("\n");
    ensure!(status.success(), "{said}\n{}", run.log());
    let results: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let kernel = &results["kernels"][0];
    ensure!(kernel["not_here"].as_array().is_some_and(Vec::is_empty), "{}", kernel["not_here"]);
    let outcomes = kernel["outcomes"].as_array().context("no outcomes")?;
    // Each has one upload, small packets, two mixes and a change; Cilium's rule has a program too.
    assert_eq!(outcomes.len(), 2 * 5 + 1, "{said}");
    for outcome in outcomes {
        let name = format!("{} {}", outcome["limit"], outcome["part"]);
        if let Some(change) = outcome.get("change") {
            let (down, up) = (number(change, "down_ms")?, number(change, "up_ms")?);
            ensure!((0.0..1000.0).contains(&down) && (0.0..1000.0).contains(&up), "{name}: {change}");
        } else if let Some(program) = outcome.get("program") {
            let pass = number(program, "pass_ns")?;
            ensure!((1.0..100_000.0).contains(&pass), "{name}: {program}");
        } else {
            let traffic = outcome.get("traffic").with_context(|| format!("{name} failed: {outcome}"))?;
            plausible(&name, traffic)?;
        }
    }
    for heading in ["payload of the ceiling", "sent again", "small packets", "Jain", "not here", "ratios"] {
        // Nothing was lacking here, and without Sluice there are no ratios.
        let expected = !["not here", "ratios"].contains(&heading);
        assert_eq!(said.contains(heading), expected, "{heading}:\n{said}");
    }
    Ok(())
}

/// What must hold of any traffic through a limit of 1 Mbit/s for six seconds.
fn plausible(name: &str, traffic: &Value) -> Result<()> {
    let figure = |name| number(traffic, name);
    let (traced, received) = (figure("traced_bytes")?, figure("received_bytes")?);
    // Small packets are in the trace too; and what was sent when the receiver had stopped.
    ensure!(received <= traced && received >= 0.5 * traced, "{name}: {received} received, {traced} traced");
    let wire = traced * FRAME / 1448.0;
    let most = 125_000.0 * (figure("seconds")? + 1.0) + figure("burst_bytes")?;
    ensure!(wire <= most, "{name}: {wire} bytes on the wire, at most {most} may pass");
    assert_eq!(figure("trace_lost")?, 0.0, "{name}");
    let ceiling = figure("payload_of_ceiling")?;
    ensure!((0.6..1.5).contains(&ceiling), "{name}: {ceiling} of the ceiling");
    // Two processors in Cilium's rule at once ("not thread safe", says its source) may spend the same credit: on a packet
    // as long as TCP makes them.
    let twice = if name.contains("cilium") { LONGEST } else { 0.0 };
    let first = figure("first_second_bytes")?;
    let allowed = 125_000.0 + figure("burst_bytes")? + FRAME + twice;
    ensure!(first <= allowed, "{name}: {first} bytes in the first second, at most {allowed}");
    let (above, late) = (figure("above_burst_bytes")?, 125_000.0 * LATENESS);
    ensure!(above <= 2.0 * FRAME + late + twice, "{name}: {above} bytes above the burst");
    for flow in traffic["flows"].as_array().context("no flows")? {
        ensure!(number(flow, "retransmitted")? <= number(flow, "segments_out")?, "{name}: {flow}");
        ensure!(number(flow, "segments_out")? > 10.0, "{name}: {flow}");
    }
    for trips in
        ["small_tcp", "small_udp"].map(|trips| &traffic[trips]).into_iter().filter(|trips| !trips.is_null())
    {
        let (p50, p99, max) = (number(trips, "p50_ms")?, number(trips, "p99_ms")?, number(trips, "max_ms")?);
        ensure!(0.0 < p50 && p50 <= p99 && p99 <= max, "{name}: {trips}");
        ensure!(number(trips, "count")? >= 6.0 * 1000.0 / 250.0 * 0.9, "{name}: {trips}");
    }
    if let Some(jain) = traffic["jain"].as_f64() {
        ensure!((0.25..=1.0).contains(&jain), "{name}: Jain's index {jain} of four uploads");
    }
    Ok(())
}

fn interrupted() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("results.json");
    let json = file.to_str().context("the test's own paths are UTF-8")?;
    let arguments = ["--only", "cilium", "--parts", "rate", "--rates", "1mbit", "--json", json];
    let mut run = bench(&arguments, directory.path())?;
    run.line(LONG, |line| line.contains("rate, "))?;
    std::thread::sleep(Duration::from_secs(2));
    run.signal(Signal::SIGINT)?;
    assert_eq!(run.wait(LONG)?.code(), Some(130), "{}", run.log());
    let results: Value = serde_json::from_slice(&fs::read(&file)?)?;
    assert_eq!(results["interrupted"], true);
    Ok(())
}

fn killed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut run = bench(&["--only", "cilium", "--parts", "rate", "--rates", "1mbit"], directory.path())?;
    run.line(LONG, |line| line.contains("rate, "))?;
    std::thread::sleep(Duration::from_secs(2));
    run.signal(Signal::SIGKILL)?;
    run.wait(LONG)?;
    Ok(())
}
