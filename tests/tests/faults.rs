//! The edge goes on whatever becomes of the others.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use protocol::record::{FrameRecord, Outcome};
use sluice_tests::{clip, models, program::Program};

const LONG: Duration = Duration::from_secs(60);

/// A port on loopback that nobody listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the test's own paths are UTF-8")
}

fn start_cloud(port: u16, model: &Path, logs: &Path) -> Result<Program> {
    Program::start("cloud-daemon", &["--listen", &format!("127.0.0.1:{port}"), "--model", text(model)], logs)
}

fn records(out: &Path) -> Result<Vec<FrameRecord>> {
    let lines = fs::read_to_string(out.join("results.jsonl"))?;
    lines.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

#[test]
fn the_edge_outlives_the_cloud_and_uses_it_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (logs, out) = (directory.path(), directory.path().join("out"));
    let video = logs.join("clip.mp4");
    clip::write(&video, 50)?;
    let (little, big, port) = (models::little(logs)?, models::big(logs)?, free_port()?);
    let cloud_url = format!("http://127.0.0.1:{port}");
    let arguments =
        ["--video-url", text(&video), "--loop", "--model", text(&little), "--hem-name", "CloudOnly"];
    let more = ["--cloud-url", &cloud_url, "--out", text(&out), "--status-json", "--queue", "4"];
    let mut edge = Program::start("edge-daemon", &[&arguments[..], &more[..]].concat(), logs)?;

    let alone = edge.status(LONG, |status| status.inferred > 5)?;
    assert_eq!(alone.answered, 0, "nobody can have answered yet");

    let cloud = start_cloud(port, &big, logs)?;
    edge.status(LONG, |status| status.answered > 2)?;

    cloud.signal(Signal::SIGKILL)?;
    drop(cloud);
    let orphaned = edge.status(LONG, |_| true)?;
    // Several seconds' worth of frames, so that answers on their way when the cloud died are over.
    let later = edge.status(LONG, |status| status.inferred > orphaned.inferred + 50)?;

    let mut cloud = start_cloud(port, &big, logs)?;
    edge.status(LONG, |status| status.answered > later.answered + 2)?;

    edge.signal(Signal::SIGTERM)?;
    assert!(edge.wait(LONG)?.success(), "{}", edge.log());
    cloud.signal(Signal::SIGTERM)?;
    assert!(cloud.wait(LONG)?.success(), "{}", cloud.log());

    let last = edge.lines().pop().context("the edge says its counters at the end")?;
    let status: protocol::status::EdgeStatus = serde_json::from_str(&last)?;
    let records = records(&out)?;
    assert_eq!(records.len() as u64, status.inferred, "one line a frame");
    let count = |outcome| records.iter().filter(|record| record.outcome == outcome).count() as u64;
    assert_eq!(count(Outcome::Answered), status.answered);
    assert_eq!(count(Outcome::Displaced), status.displaced);
    assert_eq!(status.hard, status.answered + status.expired + status.displaced + status.failed);
    assert_eq!(status.queued, 0, "nothing waits after the end");
    Ok(())
}

#[test]
fn the_edge_outlives_the_camera() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (logs, out) = (directory.path(), directory.path().join("out"));
    let video = logs.join("clip.mp4");
    clip::write(&video, 50)?;
    let (little, port) = (models::little(logs)?, free_port()?);
    let (listen, play) = (format!("127.0.0.1:{port}"), format!("/video1={}", text(&video)));
    let start_camera = || -> Result<Program> {
        let relay = Program::start("rtsp-relay", &["--listen", &listen, "--play", &play], logs)?;
        relay.line(LONG, |line| line.starts_with("ready "))?;
        Ok(relay)
    };
    let camera = start_camera()?;
    let url = format!("rtsp://{listen}/video1");
    let arguments = ["--video-url", &url, "--model", text(&little), "--hem-name", "EdgeOnly"];
    let more = ["--out", text(&out), "--status-json"];
    let mut edge = Program::start("edge-daemon", &[&arguments[..], &more[..]].concat(), logs)?;
    edge.status(LONG, |status| status.captured > 20)?;

    camera.signal(Signal::SIGKILL)?;
    drop(camera);
    let blind = edge.status(LONG, |status| status.reconnects > 0)?;

    let _camera = start_camera()?;
    edge.status(LONG, |status| status.captured > blind.captured + 20)?;
    edge.signal(Signal::SIGTERM)?;
    assert!(edge.wait(LONG)?.success(), "{}", edge.log());
    // The relay's time stamps came through, again and again the same: the clip is two seconds long.
    let times: Vec<u64> = records(&out)?.iter().filter_map(|record| record.media_time_us).collect();
    assert!(!times.is_empty(), "no frame had its media time");
    assert!(times.iter().all(|time| *time < 2_000_000 && time % 40_000 == 0), "{times:?}");
    Ok(())
}

#[test]
fn the_edge_reads_what_is_pushed_and_outlives_the_publisher() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (logs, out) = (directory.path(), directory.path().join("out"));
    let video = logs.join("clip.mp4");
    clip::write(&video, 50)?;
    let little = models::little(logs)?;
    let relay = Program::start("rtsp-relay", &["--listen", "127.0.0.1:0", "--accept-push"], logs)?;
    let ready = relay.line(LONG, |line| line.starts_with("ready "))?;
    let url = format!("{}video1", ready.trim_start_matches("ready "));
    let push = || -> Result<Killed> {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-loglevel", "error", "-re", "-stream_loop", "-1", "-i", text(&video)]);
        ffmpeg.args(["-vcodec", "libx264", "-f", "rtsp", &url]).stdin(Stdio::null());
        Ok(Killed(ffmpeg.spawn().context("start ffmpeg")?))
    };
    let publisher = push()?;
    let arguments = ["--video-url", &url, "--model", text(&little), "--hem-name", "EdgeOnly"];
    let more = ["--out", text(&out), "--status-json"];
    let mut edge = Program::start("edge-daemon", &[&arguments[..], &more[..]].concat(), logs)?;
    edge.status(LONG, |status| status.captured > 20)?;

    drop(publisher);
    let before = edge.status(LONG, |_| true)?;
    let blind = edge.status(LONG, |status| status.reconnects > before.reconnects)?;

    let _publisher = push()?;
    edge.status(LONG, |status| status.captured > blind.captured + 20)?;
    edge.signal(Signal::SIGTERM)?;
    assert!(edge.wait(LONG)?.success(), "{}", edge.log());
    Ok(())
}

/// A process that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
