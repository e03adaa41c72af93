//! The images in a real engine: the seed of this project was two `docker run` commands for Sedna's images, and they work
//! with these.

use std::{
    cell::Cell,
    fs,
    io::{ErrorKind, Read as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use protocol::record::{FrameRecord, Outcome};
use sluice_tests::{
    docker::{Docker, GATEWAY, NETWORK, Unified},
    eventually,
    hosted::{self, Hosted},
    program, skipped,
};

/// Where the commands expect the cloud.
const CLOUD: &str = "202.170.91.188";
/// The user of the images.
const USER: u32 = 65532;
const LONG: Duration = Duration::from_secs(90);

/// The commands as they were, but for `--privileged`, the images' names, the folders of the host, and names by which the
/// test finds the containers.
const CLOUD_COMMAND: &str = "run --name cloud --net=host -d \
-e input_shape=544,544 \
-e DATA_PATH_PREFIX=/ \
-e MODEL_URL=/data/big-model/yolov3_darknet.pb \
-e BIG_MODEL_BIND_PORT=5000 \
-v {data}:/data \
sluice-cloud";
const EDGE_COMMAND: &str = r#"run --name edge -it \
--entrypoint /bin/bash \
-e input_shape=416,736 \
-e video_url=rtsp://172.17.0.1/video1 \
-e all_examples_inference_output=/data/output/output \
-e hard_example_cloud_inference_output=/data/output/hard_example_cloud_inference_output \
-e hard_example_edge_inference_output=/data/output/hard_example_edge_inference_output \
-e LC_SERVER=http://172.17.0.1:9100 \
-e SUPER_BIG_MODEL_IP=202.170.91.188 \
-e BIG_MODEL_IP=202.170.91.188 \
-e BIG_MODEL_PORT=5000 \
-e INFERENCE_TIMEOUT=3699 \
-e HEM_NAME=IBT \
-e HEM_PARAMETERS='[{"key":"threshold_img","value":"0.9"},{"key":"threshold_box","value":"0.9"}]' \
-e DATA_PATH_PREFIX=/ \
-e MODEL_URL=/data/little-model/yolov3_resnet18.pb \
-v {data}:/data \
-v {output}:/data/output \
sluice-edge"#;
/// What may be taken from a container that needs nothing.
const HARDENED: [&str; 6] =
    ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--detach"];

/// Makes images of the programs that this test was built with, in a folder.
fn images(folder: &Path, names: &[&str]) -> Result<()> {
    let binaries = program::path("edge-daemon")?;
    let output = Command::new(program::path("xtask")?)
        .args(["images", "--load", "never", "--binaries"])
        .arg(binaries.parent().context("programs lie in a folder")?)
        .arg("--out")
        .arg(folder)
        .args(names.iter().flat_map(|name| ["--only", name]))
        .stdin(Stdio::null())
        .output()
        .context("run xtask")?;
    ensure!(output.status.success(), "xtask images: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Loads the images in a folder.
fn load(docker: &Docker, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "tar") {
            docker.client(&["load", "--quiet", "--input", &path.to_string_lossy()])?;
        }
    }
    Ok(())
}

/// The folder that is `/data` on an edge node: models under the names of Sedna's example, and a video.
fn data(folder: &Path) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = folder.join("data");
    for (from, to) in [
        ("models/demo-little.safetensors", "little-model/yolov3_resnet18.pb"),
        ("models/demo-big.safetensors", "big-model/yolov3_darknet.pb"),
        ("demo/site.mp4", "video/video.mp4"),
    ] {
        let to = data.join(to);
        fs::create_dir_all(to.parent().context("it has a folder")?)?;
        fs::copy(root.join(from), &to).with_context(|| format!("copy {from}"))?;
    }
    Ok(data)
}

/// A folder for results that belongs to the images' user.
fn output(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::create_dir(&path)?;
    chown(&path, Some(USER), Some(USER))?;
    Ok(path)
}

/// How many pictures are in a folder.
fn pictures(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |entries| entries.flatten().filter(is_jpeg).count())
}

fn is_jpeg(entry: &fs::DirEntry) -> bool {
    fs::read(entry.path()).is_ok_and(|bytes| bytes.starts_with(b"\xff\xd8"))
}

/// Frames that the cloud answered, by the record of results.
fn answered(output: &Path) -> usize {
    let text = fs::read_to_string(output.join("results.jsonl")).unwrap_or_default();
    let records = text.lines().filter_map(|line| serde_json::from_str::<FrameRecord>(line).ok());
    records.filter(|record| record.outcome == Outcome::Answered).count()
}

fn logs(docker: &Docker, names: &[&str]) -> String {
    let of = |name: &&str| {
        format!("{name}: {}", docker.client(&["logs", "--tail", "5", name]).unwrap_or_default())
    };
    names.iter().map(of).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_commands_of_the_seed_do_the_job_without_privileges() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    images(directory.path(), &["cloud", "edge", "camera"])?;
    let data = data(directory.path())?;
    let (seeds, hardened) = (output(directory.path(), "seeds")?, output(directory.path(), "hardened")?);
    let docker = Docker::start_apart("images", CLOUD)?;
    load(&docker, directory.path())?;
    let data_mount = format!("{}:/data", data.display());

    // The camera of the seed, by another command: here it is a container, too.
    let port = format!("{GATEWAY}:554:8554");
    let camera = ["run", "--name", "camera", "--publish", &port, "--volume", &data_mount];
    let play = ["sluice-camera", "--play", "/video1=/data/video/video.mp4"];
    docker.client(&[&camera[..], &HARDENED, &play].concat())?;
    let line = |command: &str| {
        let command = command.replace("{data}", &data.to_string_lossy());
        docker.line(&command.replace("{output}", &seeds.to_string_lossy()))
    };
    let started = Command::new("sh").args(["-c", &line(CLOUD_COMMAND)]).stdin(Stdio::null()).output()?;
    ensure!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    // `-it` wants a terminal.
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &line(EDGE_COMMAND), "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("run script (package bsdutils)")?;
    let result = the_job_is_done(&docker, &data_mount, &seeds, &hardened);
    let stopped = docker.client(&["stop", "edge", "cloud", "camera"]);
    terminal.kill().ok();
    terminal.wait()?;
    result?;
    stopped?;
    for name in ["edge", "cloud", "camera"] {
        let code = docker.client(&["inspect", "--format", "{{.State.ExitCode}}", name])?;
        ensure!(code.trim() == "0", "{name} ended with {}", code.trim());
    }
    Ok(())
}

fn the_job_is_done(docker: &Docker, data: &str, seeds: &Path, hardened: &Path) -> Result<()> {
    let hardened_mount = format!("{}:/var/lib/sluice/output", hardened.display());
    let run = ["run", "--name", "hardened", "--volume", data, "--volume", &hardened_mount];
    let variables = [
        "--env=video_url=rtsp://172.17.0.1/video1",
        "--env=BIG_MODEL_IP=172.17.0.1",
        "--env=MODEL_URL=/data/little-model/yolov3_resnet18.pb",
        "--env=HEM_NAME=CloudOnly",
        "sluice-edge",
    ];
    docker.client(&[&run[..], &HARDENED, &variables].concat())?;
    for output in [seeds, hardened] {
        let folder = if output == seeds { "output" } else { "all_examples_inference_output" };
        let folders = [folder, "hard_example_edge_inference_output", "hard_example_cloud_inference_output"];
        let done = || answered(output) > 0 && folders.iter().all(|folder| pictures(&output.join(folder)) > 0);
        if !eventually(LONG, done) {
            let counts: Vec<_> =
                folders.iter().map(|folder| (folder, pictures(&output.join(folder)))).collect();
            bail!(
                "{} answered, pictures {counts:?}\n{}",
                answered(output),
                logs(docker, &["edge", "hardened", "cloud", "camera"])
            );
        }
    }
    for name in ["cloud", "camera", "edge", "hardened"] {
        let healthy = eventually(LONG, || docker.health(name).is_ok_and(|health| health == "healthy"));
        ensure!(healthy, "{name} is {}\n{}", docker.health(name)?, logs(docker, &[name]));
        let pid = docker.pid(name)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        ensure!(status.contains(&format!("Uid:\t{USER}")), "{name} has another user");
    }

    // There is no shell to get a second daemon by.
    let shell = docker.exec("edge", &["/bin/bash"])?;
    ensure!(shell.status.code() == Some(127), "{shell:?}");
    ensure!(String::from_utf8_lossy(&shell.stderr).contains("no shell"), "{shell:?}");

    // A folder of somebody else.
    let foreign = tempfile::tempdir()?;
    let foreign = format!("{}:/var/lib/sluice/output", foreign.path().display());
    let run = ["run", "--rm", "--volume", data, "--volume", &foreign, "--env=HEM_NAME=EdgeOnly"];
    let refused = docker.client(&[&run[..], &variables[..3], &["sluice-edge"]].concat());
    let refusal = refused.err().context("results were written to a folder of root's")?.to_string();
    ensure!(refusal.contains("chown 65532:65532"), "{refusal}");
    Ok(())
}

/// The image of the shaper holds one container, whatever becomes of it, and no other; from inside it cannot be lifted.
#[test]
fn the_shapers_image_holds_one_container_and_no_other() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    images(directory.path(), &["shaper"])?;
    let bpffs = directory.path().join("bpf");
    fs::create_dir(&bpffs)?;
    let docker = Docker::start("shaper", 6, Unified::AsIs)?;
    load(&docker, directory.path())?;
    let (held, free) = (Uploader::new(&docker, "held")?, Uploader::new(&docker, "free")?);
    held.run()?;
    free.run()?;
    let before = held.received(Duration::from_millis(500))?;
    ensure!(before > FREE, "the container does not upload: {before} bytes in half a second");

    start_shaper(&docker, &bpffs, &[], &["--container", "held", "--rate", RATE])?;

    // What came before the limit was in force is still in its buffers.
    held.received(Duration::from_millis(200))?;
    let may_not_be_lifted = |what: &str| -> Result<u64> {
        // What came since the last look is in buffers.
        let begin = held.looked.get();
        let bytes = held.received(TIME)?;
        let (time, log) = (begin.elapsed(), || logs(&docker, &["agent"]));
        let most = (BYTE_S * time.as_secs_f64()) as u64 + EXTRA;
        ensure!(bytes <= most, "{what}: {bytes} bytes in {time:?}, {most} may come\n{}", log());
        Ok(bytes)
    };
    let is_held = |what: &str| -> Result<()> {
        let bytes = may_not_be_lifted(what)?;
        ensure!(bytes > LEAST, "{what}: only {bytes} bytes in {TIME:?}");
        Ok(())
    };
    is_held("limited")?;
    let other = free.received(TIME)?;
    ensure!(other > 20 * FREE, "the other container has only {other} bytes in {TIME:?}");

    // As root inside, who may do with the container's own interfaces what he likes.
    for command in [
        "ip link set eth0 txqueuelen 5000",
        "tc qdisc del dev eth0 root",
        "ip link set eth0 down && ip link set eth0 up",
    ] {
        docker.exec("held", &["sh", "-c", command])?;
    }
    let links = docker.exec("held", &["ip", "link", "show", "eth0"])?;
    ensure!(!String::from_utf8_lossy(&links.stdout).contains("bpf"), "{links:?}");
    // A connection takes a while to go on after its interface was down.
    may_not_be_lifted("while root inside tries")?;
    is_held("after root inside has tried")?;

    docker.client(&["restart", "--time=0", "held"])?;
    held.received(SOON)?;
    // What was sent before the limit bit has to be sent again first.
    may_not_be_lifted("restarted")?;
    is_held("restarted")?;
    docker.client(&["rm", "--force", "held"])?;
    held.run()?;
    held.received(SOON)?;
    // What was sent before the limit bit has to be sent again first.
    may_not_be_lifted("recreated")?;
    is_held("recreated")?;
    docker.client(&["rename", "held", "another"])?;
    is_held("renamed")?;
    docker.client(&["rename", "another", "held"])?;
    is_held("named back")?;
    docker.client(&["stop", "agent"])?;
    let after = held.received(Duration::from_millis(500))?;
    ensure!(after > FREE, "still limited: {after} bytes in half a second");
    Ok(())
}

/// The shaper's image, in a container itself, holds one on the host's network by its cgroup; the host it leaves alone.
#[test]
fn the_shapers_image_holds_a_container_on_the_hosts_network_and_not_the_host() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    images(directory.path(), &["shaper"])?;
    let bpffs = directory.path().join("bpf");
    fs::create_dir(&bpffs)?;
    let hosted = Hosted::start("img-hosted", 10, 7)?;
    load(&hosted.docker, directory.path())?;
    hosted.is_free()?;
    // The container's own view of cgroups ends at its own.
    let cgroups = ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup"];
    let limit = ["--container", hosted::NAME, "--rate", hosted::RATE];
    start_shaper(&hosted.docker, &bpffs, &cgroups, &limit)?;
    hosted.is_limited().with_context(|| logs(&hosted.docker, &["agent"]))?;
    hosted.docker.client(&["stop", "agent"])?;
    hosted.is_free()
}

/// Starts the shaper's image as the container `agent`, with its pins in `bpffs`, and waits until it is healthy.
fn start_shaper(docker: &Docker, bpffs: &Path, options: &[&str], arguments: &[&str]) -> Result<()> {
    let socket = format!("{}:/var/run/docker.sock:ro", docker.socket().display());
    let pins = format!("{}:/sys/fs/bpf", bpffs.display());
    // SYS_ADMIN includes BPF and PERFMON, which this engine does not know.
    let privileges = ["--cap-drop=ALL", "--cap-add=NET_ADMIN", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"];
    let run = ["run", "--detach", "--name=agent", "--net=host", "--pid=host", "--read-only"];
    let view = ["--security-opt=apparmor=unconfined", "--volume", &socket, "--volume", &pins];
    docker.client(&[&run[..], &privileges, &view, options, &["sluice-shaper"], arguments].concat())?;
    let healthy = eventually(LONG, || docker.health("agent").is_ok_and(|health| health == "healthy"));
    ensure!(healthy, "the agent is {}\n{}", docker.health("agent")?, logs(docker, &["agent"]));
    Ok(())
}

/// The limit, in the agent's words and in bytes a second; what may pass beyond it at once, half a second's burst and half of
/// that for small packets; the time for which it is looked at, and what must pass then.
const RATE: &str = "1mbit";
const BYTE_S: f64 = 125_000.0;
const EXTRA: u64 = 62_500 + 31_250;
const TIME: Duration = Duration::from_secs(3);
const LEAST: u64 = 250_000;
/// More than may pass in a second.
const FREE: u64 = 250_000;
/// How soon a container that has just started is limited: the engine tells of it when it runs.
const SOON: Duration = Duration::from_secs(1);

/// A container that uploads as much as it can, and who receives that.
struct Uploader<'a> {
    docker: &'a Docker,
    name: &'static str,
    listener: TcpListener,
    /// The end of the last look at what comes.
    looked: Cell<Instant>,
}

impl<'a> Uploader<'a> {
    fn new(docker: &'a Docker, name: &'static str) -> Result<Self> {
        let listener = TcpListener::bind((docker.gateway(), 0))?;
        Ok(Self { docker, name, listener, looked: Cell::new(Instant::now()) })
    }

    fn run(&self) -> Result<()> {
        let (host, port) = (self.docker.gateway(), self.listener.local_addr()?.port());
        let upload = format!("while true; do nc {host} {port} < /dev/zero; sleep 0.1; done");
        self.docker.run(self.name, NETWORK, &["--cap-add=NET_ADMIN"], &["sh", "-c", &upload])?;
        Ok(())
    }

    /// The bytes of the next connection in so long a time, and of those after it where it ends.
    fn received(&self, time: Duration) -> Result<u64> {
        let accept = || -> Result<TcpStream> {
            let (stream, _) = self.listener.accept()?;
            stream.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok(stream)
        };
        let mut stream = accept()?;
        let (start, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 1 << 16]);
        while start.elapsed() < time {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => bytes += count as u64,
                // Nothing for a while is no end.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Ok(_) | Err(_) => stream = accept()?,
            }
        }
        self.looked.set(Instant::now());
        Ok(bytes)
    }
}
