//! The run's programs as containers of Docker: the cloud and the camera on the host's network, as Sedna's users start them, the
//! edge on a bridge of the run's own.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::network::BRIDGE;
use super::rest::Lock;
use crate::cli::{Images, Load};
use crate::images::engine::{self, CLIENT};
use crate::images::{self, USER};
use crate::interrupt::Interrupt;
use crate::workspace::Workspace;

/// The containers' names.
pub const CLOUD: &str = "sluice-run-cloud";
/// The camera's.
pub const CAMERA: &str = "sluice-run-camera";
/// The edge's, by which the shaper finds it.
pub const EDGE: &str = "sluice-edge";
/// Docker's name of the run's network.
pub const NETWORK: &str = "sluice-run";
/// The images' tag: what is called `latest` is the user's own.
const TAG: &str = "run-all";
/// Where the edge's results are in its container.
const RESULTS: &str = "/results";

/// What a run has made in the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    images: Vec<String>,
    containers: Vec<String>,
    networks: Vec<String>,
}

/// Checks that an engine answers.
///
/// # Errors
///
/// None does, in its client's words.
pub fn check_engine() -> Result<()> {
    engine::client(&["version"])
        .map(drop)
        .context("no Docker engine answers: start it, or leave out --runtime docker")
}

/// Makes the run's images of the programs that have just been built, and loads them into the engine; what they are is
/// written down in `lock` first.
///
/// # Errors
///
/// No engine answers, an image cannot be made or loaded, or the work is interrupted.
pub fn load_images(workspace: &Workspace, lock: &mut Lock, interrupt: &Interrupt) -> Result<()> {
    check_engine()?;
    let names = ["cloud", "camera", "edge"];
    let images = names.map(|name| format!("sluice-{name}:{TAG}")).to_vec();
    lock.record(|rest| rest.docker.get_or_insert_default().images = images)?;
    let options = Images {
        arch: None,
        only: names.map(str::to_owned).to_vec(),
        out: Some(workspace.target().join("images").join(TAG)),
        tag: Some(TAG.to_owned()),
        binaries: workspace.binary("edge-daemon").parent().map(Path::to_owned),
        load: Load::Always,
        tree: None,
        dockerfile: false,
    };
    images::images(workspace, &options, interrupt)
}

/// Makes the run's network, with this machine at `gateway`, and writes down in `lock` first what the run will make.
///
/// # Errors
///
/// A name is taken, or the engine refuses.
pub fn create_network(lock: &mut Lock, cidr: &str, gateway: Ipv4Addr) -> Result<()> {
    for name in [CLOUD, CAMERA, EDGE] {
        if engine::client(&["container", "inspect", name]).is_ok() {
            bail!(
                "the container {name} exists and is not from run-all: `docker rm --force {name}` removes it"
            );
        }
    }
    if engine::client(&["network", "inspect", NETWORK]).is_ok() {
        bail!(
            "Docker's network {NETWORK} exists and is not from run-all: `docker network rm {NETWORK}` removes it"
        );
    }
    let containers = [CLOUD, CAMERA, EDGE].map(str::to_owned).to_vec();
    lock.record(|rest| {
        let made = rest.docker.get_or_insert_default();
        made.containers = containers;
        made.networks = vec![NETWORK.into()];
    })?;
    let bridge = format!("com.docker.network.bridge.name={BRIDGE}");
    let gateway = gateway.to_string();
    engine::client(&[
        "network",
        "create",
        "--driver",
        "bridge",
        "--subnet",
        cidr,
        "--gateway",
        &gateway,
        "--opt",
        &bridge,
        NETWORK,
    ])?;
    Ok(())
}

impl Made {
    /// Removes all of it that is there.
    ///
    /// # Errors
    ///
    /// The engine does not remove a network or an image.
    pub fn remove(&self) -> Result<()> {
        for container in &self.containers {
            // Most have gone by themselves.
            engine::client(&["rm", "--force", "--volumes", container]).ok();
        }
        for (kind, names) in [("network", &self.networks), ("image", &self.images)] {
            for name in names.iter().filter(|name| engine::client(&[kind, "inspect", name]).is_ok()) {
                engine::client(&[kind, "rm", name])
                    .with_context(|| format!("Docker's {kind} {name} stays"))?;
            }
        }
        Ok(())
    }
}

/// A container to be run in the foreground, that its program's signals and lines go through.
#[derive(Debug)]
pub struct Container {
    name: &'static str,
    options: Vec<OsString>,
    image: String,
    arguments: Vec<OsString>,
}

impl Container {
    /// A container of the run's `image` without any privilege.
    pub fn new(name: &'static str, network: &str, image: &str) -> Self {
        let options = ["--rm", "--name", name, "--network", network, "--read-only", "--cap-drop", "ALL"];
        let options = options.into_iter().chain(["--security-opt", "no-new-privileges"]);
        Self {
            name,
            options: options.map(OsString::from).collect(),
            image: format!("{image}:{TAG}"),
            arguments: Vec::new(),
        }
    }

    /// Adds an argument of the program.
    pub fn argument(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// Lets the container read a file, and adds what stands before it and its path there as an argument.
    pub fn file(&mut self, before: &str, file: &Path) -> &mut Self {
        let inside = Path::new("/files").join(file.file_name().unwrap_or_default());
        self.mount(file, &inside, ":ro");
        let mut argument = OsString::from(before);
        argument.push(inside);
        self.argument(argument)
    }

    /// Lets the container write results into `folder`, and adds its path there as an argument.
    ///
    /// # Errors
    ///
    /// The folder cannot be given to the container's user.
    pub fn results(&mut self, folder: &Path) -> Result<&mut Self> {
        chown(folder, Some(USER), Some(USER))
            .with_context(|| format!("cannot give {} to user {USER}", folder.display()))?;
        self.mount(folder, Path::new(RESULTS), "");
        Ok(self.argument(RESULTS))
    }

    fn mount(&mut self, from: &Path, to: &Path, access: &str) {
        let mut volume = OsString::from(from);
        volume.push(":");
        volume.push(to);
        volume.push(access);
        self.options.extend(["--volume".into(), volume]);
    }

    /// Creates it, and gives the command that starts it.
    ///
    /// `docker run` would do both, and if it were killed in between the engine could create the container after the run has
    /// removed what there was.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub fn create(self) -> Result<Command> {
        engine::client(&self.words())?;
        let mut start = Command::new(CLIENT);
        start.args(["start", "--attach", self.name]);
        Ok(start)
    }

    /// What is asked of the engine.
    fn words(&self) -> Vec<OsString> {
        let mut words = vec!["create".into()];
        words.extend(self.options.iter().cloned());
        words.push(self.image.clone().into());
        words.extend(self.arguments.iter().cloned());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_its_files_and_nothing_else() {
        let mut container = Container::new(EDGE, NETWORK, "sluice-edge");
        container.argument("--model").file("", Path::new("/home/me/little.safetensors"));
        let line = container.words().join(" ".as_ref()).into_string().unwrap();
        assert!(line.contains("--volume /home/me/little.safetensors:/files/little.safetensors:ro"), "{line}");
        assert!(line.ends_with("sluice-edge:run-all --model /files/little.safetensors"), "{line}");
        assert!(line.contains("--cap-drop ALL"), "{line}");
    }
}
