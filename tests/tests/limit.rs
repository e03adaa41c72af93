//! The whole way through a limit: edge in a namespace, bucket on the host side of its veth, cloud behind it.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::signal::Signal;
use sluice_tests::{clip, models, net::Network, program::Program};

const LONG: Duration = Duration::from_secs(60);
const RATE_BIT_S: f64 = 256_000.0;
/// The default burst at this rate: 500 ms of it.
const BURST_BYTES: f64 = 16_000.0;

fn text(path: &Path) -> &str {
    path.to_str().expect("the test's own paths are UTF-8")
}

#[test]
fn uploads_fill_the_limit_and_never_exceed_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (logs, out) = (directory.path(), directory.path().join("out"));
    let video = logs.join("clip.mp4");
    clip::write(&video, 50)?;
    let (little, big) = (models::little(logs)?, models::big(logs)?);
    let network = Network::new("limit", 1)?;
    let (port, namespace) = (network.port(), network.namespace());

    // Its mounts are its own: whatever becomes of the test, no pin is left behind.
    let apart = ["unshare", "--mount", "--propagation", "slave"];
    let bpffs = logs.join("bpf");
    fs::create_dir(&bpffs)?;
    let arguments = ["--iface", &port, "--rate", "256kbit", "--json", "--bpffs", text(&bpffs)];
    let mut agent = Program::start_under(&apart, "shaper-agent", &arguments, logs)?;
    agent.line(LONG, |line| line.contains("\"attached\""))?;
    let _cloud =
        Program::start("cloud-daemon", &["--listen", "10.78.1.1:5000", "--model", text(&big)], logs)?;
    let arguments =
        ["--video-url", text(&video), "--loop", "--model", text(&little), "--hem-name", "CloudOnly"];
    // The largest pictures, so that there is always more to send than the limit lets through.
    let more = ["--cloud-url", "http://10.78.1.1:5000", "--out", text(&out), "--status-json"];
    let size = ["--upload-size", "320x180", "--upload-quality", "100"];
    let mut edge = Program::start_in(
        Some(&namespace),
        "edge-daemon",
        &[&arguments[..], &more[..], &size[..]].concat(),
        logs,
    )?;
    edge.status(LONG, |status| status.answered > 0)?;

    let (start, before) = (Instant::now(), network.passed_bytes()?);
    sleep(Duration::from_secs(10));
    let (seconds, passed) = (start.elapsed().as_secs_f64(), network.passed_bytes()? - before);
    let bytes_s = RATE_BIT_S / 8.0;
    let most = bytes_s * seconds + BURST_BYTES;
    assert!((passed as f64) <= most, "{passed} bytes in {seconds} s, at most {most} may pass");
    assert!(
        passed as f64 >= 0.9 * bytes_s * seconds,
        "{passed} bytes in {seconds} s: the limit was not filled"
    );

    edge.signal(Signal::SIGTERM)?;
    assert!(edge.wait(LONG)?.success(), "{}", edge.log());
    agent.signal(Signal::SIGTERM)?;
    assert!(agent.wait(LONG)?.success(), "{}", agent.log());
    Ok(())
}
