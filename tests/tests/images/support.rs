//! Images made of this build's programs, and containers of them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sluice_tests::{
    docker::{Docker, Unified},
    eventually, program,
    promise::Promise,
};
use tempfile::TempDir;

pub(crate) const LONG: Duration = Duration::from_secs(90);

/// Makes images of the programs that this test was built with, in a folder.
pub(crate) fn images(folder: &Path, names: &[&str]) -> Result<()> {
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
pub(crate) fn load(docker: &Docker, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "tar") {
            docker.client(&["load", "--quiet", "--input", &path.to_string_lossy()])?;
        }
    }
    Ok(())
}

/// The last lines of containers, for an error.
pub(crate) fn logs(docker: &Docker, names: &[&str]) -> String {
    let of = |name: &&str| {
        let line = docker.line(&format!("logs --tail 5 {name} 2>&1"));
        let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        format!("{name}: {}", said.unwrap_or_default())
    };
    names.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// The shaper's image, and a folder for its pins.
pub(crate) struct Shaper(TempDir);

impl Shaper {
    /// Makes the image.
    pub(crate) fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        images(folder.path(), &["shaper"])?;
        let shaper = Self(folder);
        fs::create_dir(shaper.bpffs())?;
        Ok(shaper)
    }

    /// The same, and an engine that has it. The subnet is that of [`Docker::start`].
    pub(crate) fn in_engine(tag: &str, subnet: u8) -> Result<(Self, Docker)> {
        let shaper = Self::make()?;
        let docker = Docker::start(tag, subnet, Unified::AsIs)?;
        shaper.load(&docker)?;
        Ok((shaper, docker))
    }

    /// Gives an engine the image.
    pub(crate) fn load(&self, docker: &Docker) -> Result<()> {
        load(docker, self.0.path())
    }

    /// Where its pins are.
    pub(crate) fn bpffs(&self) -> PathBuf {
        self.0.path().join("bpf")
    }

    /// Starts the image as the container `agent`.
    pub(crate) fn start(&self, docker: &Docker, options: &[&str], arguments: &[&str]) -> Result<()> {
        let socket = format!("{}:/var/run/docker.sock:ro", docker.socket().display());
        let pins = format!("{}:/sys/fs/bpf", self.bpffs().display());
        // SYS_ADMIN includes BPF and PERFMON, which this engine does not know.
        let privileges =
            ["--cap-drop=ALL", "--cap-add=NET_ADMIN", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"];
        let run = ["run", "--detach", "--name=agent", "--net=host", "--pid=host", "--read-only"];
        // On the host's network, tests that run side by side are each other's neighbours.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let listen = format!("--env=SLUICE_LISTEN={free}");
        // By these the shaper knows of a container sooner than the engine tells of it.
        let tasks = format!("{}:/run/containerd/io.containerd.runtime.v2.task:ro", docker.tasks().display());
        let view = [
            "--security-opt=apparmor=unconfined",
            "--volume",
            &socket,
            "--volume",
            &pins,
            "--volume",
            &tasks,
            &listen,
        ];
        docker.client(&[&run[..], &privileges, &view, options, &["sluice-shaper"], arguments].concat())?;
        Ok(())
    }
}

/// Waits until the shaper waits for its container, its programs loaded.
pub(crate) fn wait_until_it_waits(docker: &Docker) -> Result<()> {
    let waits = || docker.client(&["logs", "agent"]).is_ok_and(|log| log.contains("waiting for it"));
    ensure!(eventually(LONG, waits), "it does not wait\n{}", logs(docker, &["agent"]));
    Ok(())
}

/// Waits until the shaper holds what it is to hold.
pub(crate) fn wait_for_shaper(docker: &Docker) -> Result<()> {
    let healthy = eventually(LONG, || docker.health("agent").is_ok_and(|health| health == "healthy"));
    ensure!(healthy, "the agent is {}\n{}", docker.health("agent")?, logs(docker, &["agent"]));
    Ok(())
}

/// What the shaper says of its limit.
pub(crate) fn status(docker: &Docker) -> Result<String> {
    let output =
        docker.exec("agent", &["/usr/bin/shaper-agent", "status", "--json", "--interval", "50ms"])?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The same, read.
pub(crate) fn promise(docker: &Docker) -> Result<Promise> {
    Promise::read(&status(docker)?).with_context(|| logs(docker, &["agent"]))
}
