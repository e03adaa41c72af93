//! The seed of this project was two `docker run` commands for Sedna's images, and they work with these.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use protocol::record::{FrameRecord, Outcome};
use sluice_tests::{
    docker::{Docker, GATEWAY},
    eventually, skipped,
};

use crate::support::{LONG, images, load, logs};

/// Where the commands expect the cloud.
const CLOUD: &str = "202.170.91.188";
/// The user of the images.
const USER: u32 = 65532;

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
    // Nor for root, who finds none of the tools by which to look for a limit.
    for tool in ["/bin/bash", "sh", "ip", "tc", "mount"] {
        let refused = docker.client(&["exec", "--user", "0", "edge", tool]).is_err();
        ensure!(refused, "the image has {tool}");
    }

    // A folder of somebody else.
    let foreign = tempfile::tempdir()?;
    let foreign = format!("{}:/var/lib/sluice/output", foreign.path().display());
    let run = ["run", "--rm", "--volume", data, "--volume", &foreign, "--env=HEM_NAME=EdgeOnly"];
    let refused = docker.client(&[&run[..], &variables[..3], &["sluice-edge"]].concat());
    let refusal = refused.err().context("results were written to a folder of root's")?.to_string();
    ensure!(refusal.contains("chown 65532:65532"), "{refusal}");
    Ok(())
}
