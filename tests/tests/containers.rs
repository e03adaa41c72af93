//! The agent and a real container engine: what a user gets who only knows a container's name.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluice_tests::{
    docker::{Docker, NETWORK, Unified},
    net::Network,
    program::Program,
    skipped,
};

const LONG: Duration = Duration::from_secs(60);

/// The interface of the next `attached` event.
fn attached(agent: &Program) -> Result<String> {
    let line = agent.line(LONG, |line| line.contains("\"attached\""))?;
    let event: serde_json::Value = serde_json::from_str(&line)?;
    Ok(event["iface"].as_str().context(line)?.to_owned())
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

/// What the next connection brings in so long a time.
fn received(listener: &TcpListener, time: Duration) -> Result<u64> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (start, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 1 << 16]);
    while start.elapsed() < time {
        // Nothing for a while is no end.
        bytes += stream.read(&mut buffer).unwrap_or(0) as u64;
    }
    Ok(bytes)
}

/// A container that uses the host's interfaces is held to its rate at its cgroup; the host is not.
#[test]
fn a_container_on_the_hosts_network_is_limited_and_the_host_is_not() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    const RATE: f64 = 1e6;
    /// 500 ms of the rate.
    const BURST: f64 = 62_500.0;
    const SECONDS: f64 = 6.0;
    let directory = tempfile::tempdir()?;
    let (logs, bpffs) = (directory.path(), directory.path().join("bpf"));
    fs::create_dir(&bpffs)?;
    let network = Network::new("hosted", 9)?;
    let listener = network.listen()?;
    let port = listener.local_addr()?.port();
    let docker = Docker::start("hosted", 5, Unified::AsIs)?;
    let upload = format!("while true; do nc {} {port} < /dev/zero; done", network.inside());
    docker.run("hosted", "host", &[], &["sh", "-c", &upload])?;
    let free = received(&listener, Duration::from_millis(500))?;
    ensure!(free as f64 > RATE, "the container does not upload: {free} bytes in half a second");

    let arguments =
        ["--container", "hosted", "--rate", "1mbit", "--json", "--bpffs", &bpffs.to_string_lossy()];
    let mut agent = Program::start_under(&docker.view()?, "shaper-agent", &arguments, logs)?;
    agent.line(LONG, |line| line.contains("\"attached\""))?;
    // What came before the limit was in force is still in its buffers.
    received(&listener, Duration::from_millis(100))?;

    let target = network.listen()?;
    let address = target.local_addr()?;
    let host = thread::spawn(move || -> Result<()> {
        let mut stream = TcpStream::connect(address)?;
        // Ends when the receiver has had enough.
        while stream.write_all(&[0; 1 << 16]).is_ok() {}
        Ok(())
    });
    let unlimited = thread::spawn(move || received(&target, Duration::from_secs_f64(SECONDS)));
    let limited = received(&listener, Duration::from_secs_f64(SECONDS))? as f64;
    let unlimited = unlimited.join().ok().context("the thread that receives from the host failed")?? as f64;
    host.join().ok().context("the thread that sends from the host failed")??;

    let most = RATE / 8.0 * SECONDS + BURST;
    ensure!(limited <= most, "{limited} bytes in {SECONDS} s from the container, {most} may come");
    ensure!(limited > 0.8 * RATE / 8.0 * SECONDS, "{limited} bytes in {SECONDS} s from the container");
    ensure!(unlimited > 20.0 * most, "the host itself sent only {unlimited} bytes");

    agent.signal(Signal::SIGTERM)?;
    ensure!(agent.wait(LONG)?.success(), "{}", agent.log());
    let free = received(&listener, Duration::from_millis(500))?;
    ensure!(free as f64 > RATE, "still limited: {free} bytes in half a second");
    Ok(())
}
