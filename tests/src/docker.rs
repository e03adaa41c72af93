//! A Docker engine of the test's own: nothing of it is seen by other tests, and nothing of it stays.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{busybox, cgroups, eventually, net::ip, processes};

/// The only image: busybox with all its applets.
pub const IMAGE: &str = "busybox";
/// The only network besides `host` and `none`: a bridge to this machine, without a way out of it.
pub const NETWORK: &str = "plain";

const LONG: Duration = Duration::from_secs(60);

/// The address of the default bridge of an engine [apart](Docker::start_apart), as on most machines.
pub const GATEWAY: &str = "172.17.0.1";

/// Makes what the engine needs before it becomes the engine. `/run` is the engine's own there, so that its socket is
/// where clients look for it; named network namespaces made before are still in theirs.
const PREPARE: &str = "set -e
mkdir -p run/netns
if [ -d /run/netns ]; then mount --rbind /run/netns run/netns; fi
mount --rbind run /run
if [ $1 = hidden ] && [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
shift
if [ $1 != none ]; then ip link set lo up; ip address add $1/32 dev lo; fi
shift
exec \"$@\"";

/// A runtime that starts a container's program, which it has set up, only when its gate is open.
const LATE: &str = "#!/bin/sh
case \" $* \" in *' start '*) until [ -e \"$0.open\" ]; do sleep 0.02; done ;; esac
exec runc \"$@\"
";

/// How the engine sees cgroups of version 2 where version 1 is in charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unified {
    /// As the machine has it.
    AsIs,
    /// Not at all: its containers get no cgroups of version 2.
    Hidden,
}

/// An engine. When it is dropped, all that belongs to it goes, too. When the test is killed, the engine and its containers
/// end; the next engine of the same tag removes the rest, but for the files.
pub struct Docker {
    directory: TempDir,
    tag: String,
    unified: Unified,
    subnet: u8,
    /// An address of the machine of its own that the engine has.
    apart: Option<String>,
    daemon: Option<Child>,
}

impl Docker {
    /// What this machine lacks for an engine; none if it has everything.
    #[must_use]
    pub fn missing() -> Option<&'static str> {
        if !nix::unistd::geteuid().is_root() {
            return Some("needs root");
        }
        let has = |program: &str| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        };
        if !has("dockerd") || !has(client()) {
            return Some("needs dockerd and docker (package docker.io)");
        }
        busybox::missing()
    }

    /// Starts an engine with [`NETWORK`] on the bridge `td-<tag>`, 10.79.`subnet`.1/24. The tag has at most 12
    /// characters; named network namespaces that the engine is to find have to be there before.
    ///
    /// # Errors
    ///
    /// It does not start; the error carries its log.
    pub fn start(tag: &str, subnet: u8, unified: Unified) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("sluice-docker-").tempdir()?;
        let mut docker = Self { directory, tag: tag.to_owned(), unified, subnet, apart: None, daemon: None };
        // A rest of a killed test run would be in the way.
        docker.remove_rest();
        let bridge = docker.unused_bridge();
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("address add 10.79.{}.1/24 dev {bridge}", 128 + subnet))?;
        docker.start_engine()?;
        docker.prepare()?;
        Ok(docker)
    }

    /// Starts an engine in a network namespace of its own, which takes the place of a machine for it: its containers are on
    /// the usual bridge with the machine at [`GATEWAY`], where ports can be published, and the machine has `address`, too.
    /// It has no images.
    ///
    /// # Errors
    ///
    /// It does not start; the error carries its log.
    pub fn start_apart(tag: &str, address: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("sluice-docker-").tempdir()?;
        let (tag, apart) = (tag.to_owned(), Some(address.to_owned()));
        let mut docker = Self { directory, tag, unified: Unified::AsIs, subnet: 0, apart, daemon: None };
        docker.remove_rest();
        docker.start_engine()?;
        Ok(docker)
    }

    /// Starts the engine again after [`stop_engine`](Self::stop_engine).
    ///
    /// # Errors
    ///
    /// It does not start; the error carries its log.
    pub fn start_engine(&mut self) -> Result<()> {
        let path = self.directory.path();
        let log = File::options().create(true).append(true).open(path.join("dockerd.log"))?;
        fs::write(self.late(), LATE)?;
        fs::set_permissions(self.late(), fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new("setpriv");
        // A killed test takes its engine along. Each program becomes the next, so that the child is the engine.
        command
            .args(["--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "slave"])
            .args(self.apart.as_ref().map(|_| "--net"))
            .args(["sh", "-c", PREPARE, "sh"])
            .arg(if self.unified == Unified::Hidden { "hidden" } else { "as-is" })
            .arg(self.apart.as_deref().unwrap_or("none"))
            .args(["dockerd", "--host", "unix:///run/docker.sock", "--host"])
            .arg(format!("unix://{}", self.socket().display()))
            .arg("--data-root")
            .arg(path.join("data"))
            .arg("--exec-root")
            .arg(path.join("exec"))
            .arg("--pidfile")
            .arg(path.join("docker.pid"))
            .arg(format!("--add-runtime=late={}", self.late().display()))
            // Neither the machine's firewall nor its forwarding is touched. vfs works on every file system.
            .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
            .args(match &self.apart {
                // Without a default bridge it would remove `docker0`, which may be another engine's.
                None => [format!("--bridge={}", self.unused_bridge()), "--userland-proxy=false".to_owned()],
                Some(_) => [format!("--bip={GATEWAY}/16"), "--userland-proxy=true".to_owned()],
            })
            .args(["--storage-driver", "vfs"])
            .args(["--shutdown-timeout", "1"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", &self.parent_cgroup()])
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut daemon = command.spawn().context("start dockerd")?;
        let answers = eventually(LONG, || {
            daemon.try_wait().is_ok_and(|ended| ended.is_some()) || self.client(&["version"]).is_ok()
        });
        let ended = daemon.try_wait()?;
        self.daemon = Some(daemon);
        if !answers || ended.is_some() {
            let log = fs::read_to_string(self.directory.path().join("dockerd.log")).unwrap_or_default();
            bail!("dockerd does not start; its log:\n{log}");
        }
        Ok(())
    }

    /// Ends the engine as the system does, and with it its containers.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub fn stop_engine(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let signalled = kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGTERM);
        if signalled.is_ok() && eventually(LONG, || daemon.try_wait().is_ok_and(|status| status.is_some())) {
            return Ok(());
        }
        daemon.kill()?;
        daemon.wait()?;
        bail!("dockerd does not end on SIGTERM")
    }

    fn prepare(&self) -> Result<()> {
        let archive = busybox::archive(self.directory.path())?;
        self.client(&["import", text(&archive)?, IMAGE])?;
        let bridge = format!("com.docker.network.bridge.name={}", self.bridge());
        let range = format!("10.79.{}.0/24", self.subnet);
        self.client(&[
            "network", "create", "--driver", "bridge", "--subnet", &range, "--opt", &bridge, NETWORK,
        ])?;
        Ok(())
    }

    fn late(&self) -> PathBuf {
        self.directory.path().join("late")
    }

    /// Lets containers with the option `--runtime=late` start their programs. Until then each is set up, network and all,
    /// and `docker run` waits.
    ///
    /// # Errors
    ///
    /// The gate cannot be written.
    pub fn open_gate(&self) -> Result<()> {
        fs::write(self.late().with_extension("open"), "").context("the gate of late containers")
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// The task directories of the engine's containerd.
    #[must_use]
    pub fn tasks(&self) -> PathBuf {
        self.directory.path().join("exec/containerd/daemon/io.containerd.runtime.v2.task")
    }

    /// The directory that [`IMAGE`] was made of.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// [`NETWORK`]'s bridge, on which this machine has the first address.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("td-{}", self.tag)
    }

    /// The engine's default bridge, on which nobody is.
    fn unused_bridge(&self) -> String {
        format!("tn-{}", self.tag)
    }

    /// This machine's address on [`NETWORK`].
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("10.79.{}.1", self.subnet)
    }

    /// The cgroup above those of the containers, and the namespace of [`ctr`](Self::ctr), which makes a cgroup of that
    /// name.
    #[must_use]
    pub fn parent_cgroup(&self) -> String {
        format!("sluice-td-{}", self.tag)
    }

    /// Starts the container `name` with a command that may be an applet of busybox, on the network `plain`, `host` or
    /// `none`, with further options of `docker run`, such as `--cap-add=NET_ADMIN`; returns its id.
    ///
    /// # Errors
    ///
    /// The engine's words.
    pub fn run(&self, name: &str, network: &str, options: &[&str], command: &[&str]) -> Result<String> {
        let fixed = ["run", "--detach", "--name", name, "--network", network];
        let output = self.client(&[&fixed[..], options, &[IMAGE], command].concat())?;
        Ok(output.lines().next_back().unwrap_or_default().to_owned())
    }

    /// Runs a command in a container to its end; whether it succeeds is for the caller to see.
    ///
    /// # Errors
    ///
    /// The client cannot be started.
    pub fn exec(&self, name: &str, command: &[&str]) -> Result<Output> {
        let mut client = self.command(&["exec", name]);
        client.args(command).output().context("run docker")
    }

    /// The number of a container's first process, as this machine counts.
    ///
    /// # Errors
    ///
    /// The engine's words.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let pid = self.client(&["inspect", "--format", "{{.State.Pid}}", name])?;
        pid.trim().parse().with_context(|| format!("docker inspect says {pid}"))
    }

    /// Runs `docker` with these arguments and returns what it prints.
    ///
    /// # Errors
    ///
    /// Its words.
    pub fn client(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().context("run docker")?;
        if !output.status.success() {
            bail!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Begins to run `docker` with these arguments.
    ///
    /// # Errors
    ///
    /// The client cannot be started.
    pub fn begin(&self, arguments: &[&str]) -> Result<Child> {
        self.command(arguments).stdout(Stdio::null()).spawn().context("run docker")
    }

    /// The command line of `docker` with these arguments, as a shell reads it.
    #[must_use]
    pub fn line(&self, arguments: &str) -> String {
        format!("{} --host unix://{} {arguments}", client(), self.socket().display())
    }

    /// The state of a container's health: `starting`, `healthy` or `unhealthy`.
    ///
    /// # Errors
    ///
    /// The engine's words.
    pub fn health(&self, name: &str) -> Result<String> {
        Ok(self.client(&["inspect", "--format", "{{.State.Health.Status}}", name])?.trim().to_owned())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(client());
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// What to put before a command that is to find the engine at its usual place, `/var/run/docker.sock`. Otherwise the
    /// command sees the machine as it is, but for `/run`, and has `/` for its working directory.
    ///
    /// # Errors
    ///
    /// The engine does not run.
    pub fn view(&self) -> Result<[String; 4]> {
        let namespaces =
            format!("/proc/{}/ns", self.daemon.as_ref().context("the engine does not run")?.id());
        // The engine's network is the caller's, but for one apart.
        let network = if self.apart.is_some() { &namespaces } else { "/proc/self/ns" };
        let [mount, net] = [format!("--mount={namespaces}/mnt"), format!("--net={network}/net")];
        Ok(["nsenter".to_owned(), mount, net, "--".to_owned()])
    }

    /// Runs containerd's client `ctr` with these arguments and returns what it prints. Its containers are in the
    /// namespace [`parent_cgroup`](Self::parent_cgroup), and have to be removed by the test.
    ///
    /// # Errors
    ///
    /// Its words.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let view = self.view()?;
        let socket = self.directory.path().join("exec/containerd/containerd.sock");
        let output = Command::new(&view[0])
            .args(&view[1..])
            .args(["ctr", "--address", text(&socket)?, "--namespace", &self.parent_cgroup()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("run ctr")?;
        if !output.status.success() {
            bail!("ctr {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Removes what outlives an engine.
    fn remove_rest(&self) {
        for bridge in [self.bridge(), self.unused_bridge()] {
            // What is not there need not be removed.
            let _ = ip(&format!("link del {bridge}"));
        }
        cgroups::remove(&self.parent_cgroup());
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Nothing here can be told to anyone any more; each step is tried whatever became of the one before.
        if let Ok(containers) = self.client(&["ps", "--all", "--quiet"]) {
            let containers: Vec<_> = containers.split_whitespace().collect();
            if !containers.is_empty() {
                let _ = self.client(&[&["rm", "--force"], &containers[..]].concat());
            }
        }
        let _ = self.stop_engine();
        processes::kill_below(self.directory.path());
        self.remove_rest();
    }
}

/// Docker's client; that of the engine's own package, if it is there beside a newer one.
fn client() -> &'static str {
    const PACKAGED: &str = "/usr/bin/docker";
    if Path::new(PACKAGED).exists() { PACKAGED } else { "docker" }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the test's own paths are UTF-8")
}
