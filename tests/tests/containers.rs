//! The agent and a real container engine: what a user gets who only knows a container's name.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluice_tests::{
    docker::{Docker, NETWORK, Unified},
    hosted::{self, Hosted},
    program::{self, Program},
    skipped,
};

const LONG: Duration = Duration::from_secs(60);

/// The interface of the next `attached` event.
fn attached(agent: &Program) -> Result<String> {
    let line = agent.line(LONG, |line| line.contains("\"attached\""))?;
    let event: serde_json::Value = serde_json::from_str(&line)?;
    Ok(event["iface"].as_str().context(line)?.to_owned())
}

/// What `status --json` of an agent with this BPF file system prints.
fn status(docker: &Docker, bpffs: &str) -> Result<String> {
    let view = docker.view()?;
    let mut command = Command::new(&view[0]);
    command.args(&view[1..]).arg(program::path("shaper-agent")?).args([
        "status",
        "--json",
        "--interval",
        "50ms",
    ]);
    let output = command.args(["--bpffs", bpffs]).output().context("run shaper-agent status")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The only port of a bridge.
fn port(bridge: &str) -> Result<String> {
    let ports = fs::read_dir(Path::new("/sys/class/net").join(bridge).join("brif"))?;
    let mut names = ports.map(|port| Ok(port?.file_name().to_string_lossy().into_owned()));
    names.next().context("the bridge has no port")?
}

#[test]
fn a_container_is_limited_by_its_name_and_again_after_its_restart() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let (logs, bpffs) = (directory.path(), directory.path().join("bpf"));
    fs::create_dir(&bpffs)?;
    let docker = Docker::start("agent", 4, Unified::AsIs)?;
    docker.run("web", NETWORK, &[], &["sleep", "600"])?;
    let arguments = ["--container", "web", "--rate", "1mbit", "--json", "--bpffs", &bpffs.to_string_lossy()];
    let mut agent = Program::start_under(&docker.view()?, "shaper-agent", &arguments, logs)?;
    let first = attached(&agent)?;
    ensure!(first == port(&docker.bridge())?);

    docker.client(&["restart", "-t", "0", "web"])?;
    let second = attached(&agent)?;
    ensure!(second != first && second == port(&docker.bridge())?, "{second} after {first}");
    let links = docker.exec("web", &["ip", "link"])?;
    ensure!(links.status.success() && String::from_utf8_lossy(&links.stdout).contains("eth0"), "{links:?}");

    agent.signal(Signal::SIGTERM)?;
    ensure!(agent.wait(LONG)?.success(), "{}", agent.log());
    Ok(())
}

/// A container that uses the host's interfaces is held to its rate at its cgroup; the host is not.
#[test]
fn a_container_on_the_hosts_network_is_limited_and_the_host_is_not() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let (logs, bpffs) = (directory.path(), directory.path().join("bpf"));
    fs::create_dir(&bpffs)?;
    let hosted = Hosted::start("hosted", 9, 5)?;
    hosted.is_free()?;
    let bpffs = bpffs.to_string_lossy();
    let arguments = ["--container", hosted::NAME, "--rate", hosted::RATE, "--json", "--bpffs", &bpffs];
    let mut agent = Program::start_under(&hosted.docker.view()?, "shaper-agent", &arguments, logs)?;
    agent.line(LONG, |line| line.contains("\"attached\""))?;
    hosted.is_limited(|| status(&hosted.docker, &bpffs))?;
    agent.signal(Signal::SIGTERM)?;
    ensure!(agent.wait(LONG)?.success(), "{}", agent.log());
    hosted.is_free()
}
