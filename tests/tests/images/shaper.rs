//! The shaper's image holds one container, whatever becomes of it, and nobody else.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, sleep},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sluice_tests::{
    docker::{Docker, NETWORK},
    eventually,
    hosted::{self, Hosted},
    skipped,
    trace::Tracer,
};

use crate::{
    support::{LONG, Shaper, logs, status, wait_for_shaper, wait_until_it_waits},
    uploader::{RATE, Uploader},
};

/// Where the host sends to a container.
const PORT: u16 = 9000;
/// What the host sends, and how often: 8 Mbit/s.
const PIECE: usize = 25_000;
const PACE: Duration = Duration::from_millis(25);

/// Restarted, made again and renamed; what passes is looked at by a trace of the bridge from the first second to the last.
#[test]
fn one_container_is_held_whatever_becomes_of_it_and_nobody_else() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let (shaper, docker) = Shaper::in_engine("shaper", 6)?;
    let (held, free) = (Uploader::new(&docker, "held")?, Uploader::new(&docker, "free")?);
    held.run(&[])?;
    free.run(&[])?;
    held.is_free()?;
    shaper.start(&docker, &[], &["--container", "held", "--rate", RATE])?;
    wait_for_shaper(&docker)?;

    let other = free.address()?;
    let bridge = Tracer::start(&docker.bridge())?;
    let inside = Tracer::start_at(&free.namespace()?, "eth0")?;
    let stop = AtomicBool::new(false);
    let limit = thread::scope(|scope| {
        let sending = scope.spawn(|| send(&docker, "free", &stop));
        let result = (|| -> Result<_> {
            let limited = held.is_held("limited")?;
            docker.client(&["restart", "--time=0", "held"])?;
            held.is_limited("held")?;
            held.is_held("restarted")?;
            docker.client(&["rm", "--force", "held"])?;
            held.run(&[])?;
            held.is_limited("held")?;
            held.is_held("made again")?;
            docker.client(&["rename", "held", "another"])?;
            held.is_held("renamed")?;
            docker.client(&["rename", "another", "held"])?;
            held.is_held("named back")?;
            Ok(limited)
        })();
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().ok().context("the thread that sends from the host failed")?;
        result.and_then(|limit| sent.map(|()| limit))
    });
    let (bridge, inside) = (bridge.finish()?, inside.finish()?);
    let [before, after] = limit?;

    // Whatever is not the other container's, its addresses and protocols be what they are.
    let ours = bridge.only(|packet| packet.source != other);
    after.check(&ours, 0).with_context(|| logs(&docker, &["agent"]))?;
    before.agrees(&after, &ours)?;
    let others = bridge.only(|packet| packet.source == other && free.is_uploaded(packet)).bytes();
    let hosts = inside.only(|packet| packet.port == Some(PORT)).bytes();
    for (who, bytes) in [("the other container", others), ("the host", hosts)] {
        ensure!(bytes > 2 * ours.bytes(), "{who} sent only {bytes} bytes, the limited one {}", ours.bytes());
    }
    docker.client(&["stop", "agent"])?;
    held.is_free()
}

/// Sends from the host to a container until `stop`.
fn send(docker: &Docker, name: &str, stop: &AtomicBool) -> Result<()> {
    docker.client(&["exec", "--detach", name, "sh", "-c", &format!("nc -l -p {PORT} > /dev/null")])?;
    let format = format!("{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}");
    let address: Ipv4Addr = docker.client(&["inspect", "--format", &format, name])?.trim().parse()?;
    let mut stream = None;
    let connects = || {
        stream = TcpStream::connect((address, PORT)).ok();
        stream.is_some()
    };
    eventually(LONG, connects);
    let mut stream = stream.with_context(|| format!("nobody listens at {address}:{PORT}"))?;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&[0; PIECE])?;
        sleep(PACE);
    }
    Ok(())
}

/// A shaper that is started before its container, as compose does it.
#[test]
fn a_container_that_is_waited_for_is_limited_from_its_start() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let (shaper, docker) = Shaper::in_engine("waiting", 8)?;
    let arguments = ["--wait", "--container", "later", "--rate", RATE];
    let ends = || -> Result<()> {
        docker.client(&["kill", "--signal=INT", "agent"])?;
        let code = docker.client(&["wait", "agent"])?;
        ensure!(code.trim() == "0", "it ends with {}\n{}", code.trim(), logs(&docker, &["agent"]));
        docker.client(&["rm", "agent"])?;
        let pins = shaper.bpffs();
        ensure!(fs::read_dir(&pins)?.next().is_none(), "something is left in {}", pins.display());
        Ok(())
    };
    // Ctrl-C while nothing has come yet.
    shaper.start(&docker, &[], &arguments)?;
    wait_until_it_waits(&docker)?;
    ends()?;

    shaper.start(&docker, &[], &arguments)?;
    wait_until_it_waits(&docker)?;
    let later = Uploader::new(&docker, "later")?;
    let tracer = Tracer::start(&docker.bridge())?;
    later.run(&[])?;
    later.is_limited("later")?;
    let [_, after] = later.is_held("it has come")?;
    after.check(&tracer.finish()?, 0).with_context(|| logs(&docker, &["agent"]))?;
    ends()?;
    later.is_free()
}

/// One on the host's network is held by its cgroup; the host is left alone.
#[test]
fn a_container_on_the_hosts_network_is_held_and_the_host_is_not() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let shaper = Shaper::make()?;
    let hosted = Hosted::start("img-hosted", 10, 7)?;
    shaper.load(&hosted.docker)?;
    hosted.is_free()?;
    // The container's own view of cgroups ends at its own.
    let cgroups = ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup"];
    let limit = ["--container", hosted::NAME, "--rate", hosted::RATE];
    shaper.start(&hosted.docker, &cgroups, &limit)?;
    wait_for_shaper(&hosted.docker)?;
    hosted.is_limited(|| status(&hosted.docker)).with_context(|| logs(&hosted.docker, &["agent"]))?;
    hosted.docker.client(&["stop", "agent"])?;
    hosted.is_free()
}
