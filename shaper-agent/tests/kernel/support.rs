//! A container's network as a test needs it, and an agent at its host side.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Lines, Read as _},
    os::fd::AsFd as _,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TcAttachType};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

/// What this machine lacks for the tests; none if it has everything.
fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root");
    }
    if Command::new("ip").arg("-V").output().is_err() {
        return Some("needs ip (iproute2)");
    }
    None
}

/// Whether the test can run here; says why if not.
pub(crate) fn can_run() -> bool {
    if let Some(why) = missing() {
        println!("SKIPPED: {why}");
    }
    missing().is_none()
}

/// A network namespace with one end of a veth, as a container has it. Both go when it is dropped.
pub(crate) struct Container {
    pub(crate) namespace: String,
    /// The host side of the veth.
    pub(crate) iface: String,
    /// The host's address on the veth.
    pub(crate) host: String,
    /// The container's.
    own: String,
    /// Where its agents mount the BPF file system, so that tests are apart from each other.
    bpffs: tempfile::TempDir,
}

impl Container {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("t-shaper-{pid}-{number}");
        let iface = format!("tsh{pid}.{number}");
        // A /30 of its own from the range for benchmarks (RFC 2544), so that tests can run side by side.
        let subnet = (pid % 4096) * 16 + number;
        let address = |host: u32| format!("198.18.{}.{}", subnet / 64 % 256, subnet % 64 * 4 + host);
        let bpffs = tempfile::tempdir().unwrap();
        let container = Self {
            namespace: namespace.clone(),
            iface: iface.clone(),
            host: address(1),
            own: address(2),
            bpffs,
        };
        ip(&["netns", "add", &namespace]);
        container.link();
        container
    }

    /// Makes the veth, with its addresses.
    pub(crate) fn link(&self) {
        let Self { namespace, iface, host, own, .. } = self;
        ip(&["link", "add", iface, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
        ip(&["address", "add", &format!("{host}/30"), "dev", iface]);
        ip(&["link", "set", iface, "up"]);
        ip(&["-n", namespace, "address", "add", &format!("{own}/30"), "dev", "eth0"]);
        ip(&["-n", namespace, "link", "set", "eth0", "up"]);
    }

    /// Gives the container's interface its address again, whatever the interface is called now.
    pub(crate) fn address(&self) {
        let in_it = ["-n", self.namespace.as_str()];
        let links =
            Command::new("ip").args(in_it).args(["-o", "link", "show", "type", "veth"]).output().unwrap();
        let links = String::from_utf8(links.stdout).unwrap();
        let name = links.split(": ").nth(1).unwrap().split('@').next().unwrap();
        ip(&[&in_it[..], &["address", "replace", &format!("{}/30", self.own), "dev", name]].concat());
    }

    /// The agent's command with some arguments, on this container's BPF file system.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shaper-agent"));
        command.args(arguments).arg("--bpffs").arg(self.bpffs.path());
        command
    }

    /// The `status` of its limits.
    pub(crate) fn status(&self) -> (Option<i32>, Value) {
        let output = self.agent(&["status", "--json", "--interval", "100ms"]).output().unwrap();
        let status = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_follows(include_str!("../../../docs/schema/shaper-status.schema.json"), &status);
        (output.status.code(), status)
    }

    /// Whether the agents have left nothing: no mount, no pin.
    pub(crate) fn is_clean(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        !mounts.contains(self.bpffs.path().to_str().unwrap())
            && fs::read_dir(self.bpffs.path()).unwrap().next().is_none()
    }

    /// Runs `work` in the container, on a thread of its own.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        thread::spawn(move || {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    /// The programs at the TCX hook of the host side; none before Linux 6.6, which has no such hook.
    pub(crate) fn tcx(&self) -> usize {
        SchedClassifier::query_tcx(&self.iface, TcAttachType::Ingress)
            .map_or(0, |(_, programs)| programs.len())
    }

    /// Whether a limit's program is on one of the hooks of the host side.
    pub(crate) fn is_limited(&self) -> bool {
        self.tcx() == 1 || self.clsact().contains("bpf")
    }

    /// The hooks that this kernel has.
    pub(crate) fn hooks(&self) -> &'static [&'static str] {
        match SchedClassifier::query_tcx(&self.iface, TcAttachType::Ingress) {
            Ok(_) => &["tcx", "clsact"],
            Err(_) => &["clsact"],
        }
    }

    /// What `tc` says of the host side's clsact hook.
    pub(crate) fn clsact(&self) -> String {
        let show = |what: &[&str]| {
            let output = Command::new("tc").args(what).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        show(&["filter", "show", "dev", &self.iface, "ingress"])
            + &show(&["qdisc", "show", "dev", &self.iface, "clsact"])
    }

    /// The segments that a packet of the container's may hold.
    pub(crate) fn gso_max_segs(&self) -> String {
        let output =
            Command::new("ip").args(["-n", &self.namespace, "-d", "link", "show", "eth0"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().skip_while(|word| *word != "gso_max_segs").nth(1).unwrap().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // What a killed agent left, and the mount with it.
        let _ = self.agent(&["clear", "--all"]).output();
        for command in [["link", "del", &self.iface], ["netns", "del", &self.namespace]] {
            // The test may have removed the interface itself.
            let _ = Command::new("ip").args(command).stderr(Stdio::null()).status();
        }
    }
}

pub(crate) fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}: {status}");
}

/// An agent with `--json`, killed when dropped.
pub(crate) struct Agent {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The first event.
    pub(crate) first: Value,
}

impl Agent {
    /// Starts an agent on the container's veth and waits until the limit is in force.
    pub(crate) fn start(container: &Container, arguments: &[&str]) -> Self {
        Self::until("attached", container, arguments)
    }

    /// Starts an agent on the container's veth, which is not there, and waits until it waits for it.
    pub(crate) fn wait_for(container: &Container, arguments: &[&str]) -> Self {
        Self::until("gone", container, &[&["--wait"], arguments].concat())
    }

    fn until(event: &str, container: &Container, arguments: &[&str]) -> Self {
        let mut command = container.agent(&["--iface", &container.iface]);
        let mut child = command
            .args(arguments)
            .args(["--json", "--interval", "100ms"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(first) = lines.next() else {
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("the agent ended: {stderr}");
        };
        let first: Value = serde_json::from_str(&first.unwrap()).unwrap();
        assert_follows(EVENTS, &first);
        assert_eq!(first["event"], event);
        Self { child, lines, first }
    }

    /// Sends a signal and returns the exit status, the last event and what was written to standard error.
    pub(crate) fn end(mut self, signal: nix::sys::signal::Signal) -> (ExitStatus, Value, String) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.wait()
    }

    /// The next event of a kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.next().expect("the agent still prints").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_follows(EVENTS, &event);
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Value, String) {
        let last = self.lines.by_ref().map_while(Result::ok).last().unwrap_or_default();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), serde_json::from_str(&last).unwrap_or_default(), stderr)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The schema of the agent's lines.
const EVENTS: &str = include_str!("../../../docs/schema/shaper-events.schema.json");

/// Asserts that `value` is as a schema says.
pub(crate) fn assert_follows(schema: &str, value: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(error) = jsonschema::validate(&schema, value) {
        panic!("{error}: {value}");
    }
}

/// Waits until `done`, at most ten seconds.
pub(crate) fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not after ten seconds");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Congestion controls that this kernel offers, of those named.
pub(crate) fn congestion_controls<'a>(wanted: &[&'a str]) -> Vec<&'a str> {
    let offered = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap();
    wanted.iter().copied().filter(|name| offered.split_whitespace().any(|offer| offer == *name)).collect()
}
