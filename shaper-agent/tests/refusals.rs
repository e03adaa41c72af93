//! What the agent refuses: each has its documented exit code, and a message with the object, the cause and what to do
//! next. Nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const AGENT: &str = env!("CARGO_BIN_EXE_shaper-agent");

/// A refusal: the arguments, the exit code, and what the message must hold.
type Refusal<'a> = (&'a [&'a str], i32, &'a [&'a str]);

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("SKIPPED: needs root");
    }
    root
}

/// Runs the agent; it must end by itself, soon.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn check(refusals: &[Refusal<'_>], bpffs: &Path) {
    for (arguments, code, parts) in refusals {
        let (found, message) = run(Command::new(AGENT).args(*arguments).env("SLUICE_BPFFS", bpffs));
        assert_eq!(found, Some(*code), "{arguments:?}: {message}");
        for part in *parts {
            assert!(message.contains(part), "{arguments:?}: no `{part}` in: {message}");
        }
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}

/// Nothing is mounted at `bpffs` and nothing lies in it.
fn assert_clean(bpffs: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(bpffs.to_str().unwrap()), "{} is still mounted", bpffs.display());
    assert!(fs::read_dir(bpffs).unwrap().next().is_none(), "something is left in {}", bpffs.display());
}

#[test]
fn command_lines_that_cannot_be() {
    let bpffs = tempfile::tempdir().unwrap();
    let refusals: &[Refusal<'_>] = &[
        // Rates.
        (&["--iface", "lo", "--rate", ""], 2, &["rate", "64kbit"]),
        (&["--iface", "lo", "--rate", "fast"], 2, &["`fast`", "64kbit"]),
        (&["--iface", "lo", "--rate", "0"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate", "0kbit"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate", "999bit"], 2, &["1kbit"]),
        (&["--iface", "lo", "--rate", "101gbit"], 2, &["100gbit"]),
        (&["--iface", "lo", "--rate", "1e400mbit"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate=-64kbit"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate", "64 kbit/s"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate", "64kbit\u{7}"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate", "٦٤kbit"], 2, &["64kbit"]),
        (&["--iface", "lo", "--rate", "NaN"], 2, &["64kbit"]),
        (&["--iface", "lo"], 2, &["--rate"]),
        (&["--iface", "lo", "--download", "soon"], 2, &["64kbit"]),
        // What else limits.
        (&["--iface", "lo", "--rate", "64kbit", "--burst", "0"], 2, &["burst", "250ms"]),
        (&["--iface", "lo", "--rate", "64kbit", "--burst", "much"], 2, &["`much`", "250ms"]),
        (&["--iface", "lo", "--rate", "1kbit", "--burst", "2gb"], 2, &["hour"]),
        (&["--iface", "lo", "--rate", "64kbit", "--latency", "50"], 2, &["`50`", "50ms"]),
        (&["--iface", "lo", "--rate", "64kbit", "--latency", "1min"], 2, &["at most 4s"]),
        (&["--iface", "lo", "--rate", "64kbit", "--overhead", "lots"], 2, &["overhead"]),
        (&["--iface", "lo", "--rate", "64kbit", "--overhead", "99999"], 2, &["99999"]),
        (&["--iface", "lo", "--rate", "64kbit", "--small-packet-reserve", "1"], 2, &["500ms"]),
        (&["--iface", "lo", "--rate", "64kbit", "--small-packet-reserve", "2h"], 2, &["hour"]),
        (&["--iface", "lo", "--rate", "64kbit", "--mode", "drop"], 2, &["shape", "police"]),
        (&["--iface", "lo", "--rate", "64kbit", "--attach", "xdp"], 2, &["tcx", "clsact"]),
        (&["--iface", "lo", "--rate", "64kbit", "--interval", "0s"], 2, &["interval"]),
        (&["--iface", "lo", "--rate", "64kbit", "--interval", "1"], 2, &["500ms"]),
        (&["--iface", "lo", "--rate", "64kbit", "--listen", "9100"], 2, &["9100", "127.0.0.1:9100"]),
        (&["--iface", "lo", "--rate", "64kbit", "--listen", "127.0.0.1:99999"], 2, &["127.0.0.1:99999"]),
        (&["--iface", "lo", "--rate", "64kbit", "--log-format", "xml"], 2, &["json"]),
        // Targets.
        (&["--rate", "64kbit"], 2, &["--iface"]),
        (&["--iface", "lo", "--pid", "1", "--rate", "64kbit"], 2, &["cannot be used with"]),
        (&["--iface", "", "--rate", "64kbit"], 2, &["15 characters"]),
        (&["--iface", "..", "--rate", "64kbit"], 2, &["15 characters"]),
        (&["--iface", "../../etc", "--rate", "64kbit"], 2, &["no `/`"]),
        (&["--iface", "a234567890123456", "--rate", "64kbit"], 2, &["15 characters"]),
        (&["--iface", "eth0\n", "--rate", "64kbit"], 2, &["no white space"]),
        (&["--container", "../web", "--rate", "64kbit"], 2, &["container"]),
        (&["--container", "-rm", "--rate", "64kbit"], 2, &["container"]),
        (&["--pid", "0", "--rate", "64kbit"], 2, &["process"]),
        (&["--pid", "4294967296", "--rate", "64kbit"], 2, &["process"]),
        (&["--netns", "../self", "--rate", "64kbit"], 2, &["network namespace"]),
        (&["--cgroup", "web", "--rate", "64kbit"], 2, &["absolute path"]),
        (&["--cgroup", "/sys/fs/cgroup/../../etc", "--rate", "64kbit"], 2, &["without `..`"]),
        // Commands.
        (&["stop"], 2, &["stop"]),
        (&["set", "--iface", "lo"], 2, &["--rate"]),
        (&["set", "--rate", "64kbit"], 2, &["--iface"]),
        (&["clear"], 2, &["--all"]),
        (&["clear", "--all", "--iface", "lo"], 2, &["cannot be used with"]),
        (&["run"], 2, &["--config"]),
        (&["run", "--config", "/nonexistent/shaper.toml"], 2, &["/nonexistent/shaper.toml"]),
        (&["run", "--config", "/"], 2, &["/"]),
        (&["run", "--config", "/dev/zero"], 2, &["/dev/zero"]),
        (&["completions", "cmd"], 2, &["bash"]),
        (&["status", "--interval=-1s"], 2, &["interval", "500ms"]),
    ];
    check(refusals, bpffs.path());
    assert_clean(bpffs.path());
}

#[test]
fn configurations_that_cannot_be() {
    let bpffs = tempfile::tempdir().unwrap();
    let file = bpffs.path().join("shaper.toml");
    let limit = "[[limit]]\niface = \"lo\"\nrate = \"64kbit\"\n";
    let cases: [(&[u8], &str); 6] = [
        (b"", "[[limit]]"),
        (b"[[limit]]\niface = \"lo\"\nrate = \"fast\"\n", ":3:8: "),
        (b"[[limit]]\niface = lo\n", "quotes"),
        (b"\xff\xfe[[limit]]", "UTF-8"),
        (b"[[limit]]\niface = \"../lo\"\nrate = \"1mbit\"\n", "no `/`"),
        (&[limit.as_bytes(), limit.as_bytes()].concat(), "lo"),
    ];
    for (text, part) in cases {
        fs::write(&file, text).unwrap();
        let config = file.to_str().unwrap();
        check(&[(&["run", "--config", config], 2, &[config, part])], Path::new("/nonexistent"));
    }
}

#[test]
fn what_is_not_there() {
    if !root() {
        return;
    }
    let bpffs = tempfile::tempdir().unwrap();
    let refusals: &[Refusal<'_>] = &[
        (&["--iface", "nosuch0", "--rate", "64kbit"], 3, &["`nosuch0`", "ip -brief link"]),
        (&["--container", "nosuch", "--rate", "64kbit"], 3, &["nosuch"]),
        (&["--pid", "4194303", "--rate", "64kbit"], 3, &["4194303"]),
        (&["--netns", "nosuch", "--rate", "64kbit"], 3, &["nosuch", "ip netns"]),
        (&["--cgroup", "/sys/fs/cgroup/nosuch", "--rate", "64kbit"], 3, &["/sys/fs/cgroup/nosuch"]),
        (&["set", "--iface", "lo", "--rate", "64kbit"], 3, &["iface:lo", "shaper-agent status"]),
        (&["clear", "--iface", "lo"], 3, &["iface:lo", "shaper-agent status"]),
    ];
    check(refusals, bpffs.path());
    assert_clean(bpffs.path());
}

#[test]
fn places_that_cannot_be_used() {
    if !root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let line: &[&str] = &["--iface", "lo", "--rate", "64kbit"];
    let mount = "mount -t bpf bpffs /sys/fs/bpf";
    for place in [&file, &file.join("below"), Path::new("/proc/nosuch")] {
        check(&[(line, 6, &[place.to_str().unwrap(), mount])], place);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (listen, port) = (address.to_string(), format!("port {}", address.port()));
    let listen = [line, &["--listen", &listen]].concat();
    let bpffs = tempfile::tempdir().unwrap();
    check(&[(&listen, 7, &[&port, "ss -ltnp"])], bpffs.path());
    assert_clean(bpffs.path());
}

/// Each capability that is missing is named; without CAP_SYS_ADMIN nothing can be mounted.
#[test]
fn privileges_that_are_missing() {
    if !root() {
        return;
    }
    let bpffs = tempfile::tempdir().unwrap();
    let cases = [
        ("-all", 4, "CAP_NET_ADMIN and CAP_BPF and CAP_PERFMON"),
        ("-all,+net_admin", 4, "CAP_BPF and CAP_PERFMON"),
        ("-all,+bpf,+perfmon", 4, "CAP_NET_ADMIN"),
        ("-all,+net_admin,+bpf", 4, "CAP_PERFMON"),
        ("-all,+net_admin,+bpf,+perfmon", 6, "mount -t bpf bpffs /sys/fs/bpf"),
    ];
    for (capabilities, code, part) in cases {
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set={capabilities}")).arg(format!("--inh-caps={capabilities}"));
        command.args([AGENT, "--iface", "lo", "--rate", "64kbit"]).env("SLUICE_BPFFS", bpffs.path());
        let (found, message) = run(&mut command);
        assert_eq!(found, Some(code), "{capabilities}: {message}");
        assert!(message.contains(part), "{capabilities}: {message}");
    }
    assert_clean(bpffs.path());
}

/// An interface that goes while the limit is being attached, a little earlier or later each time.
#[test]
fn an_interface_that_goes_while_it_is_attached() {
    if !root() {
        return;
    }
    let bpffs = tempfile::tempdir().unwrap();
    let iface = format!("tgo{}", std::process::id());
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).status().unwrap().success();
    let mut codes = Vec::new();
    // Until it was in force twice before the interface went.
    while codes.iter().filter(|code| **code == Some(64)).count() < 2 {
        let delay = 40 * codes.len() as u64;
        assert!(delay < 10_000, "it is never in force: {codes:?}");
        assert!(ip(&["link", "add", &iface, "type", "veth", "peer", "name", &format!("{iface}p")]));
        let mut command = Command::new(AGENT);
        command.args(["--iface", &iface, "--rate", "64kbit", "--exit-when-gone"]);
        let agent = std::thread::spawn({
            let bpffs = bpffs.path().to_owned();
            move || run(command.env("SLUICE_BPFFS", bpffs))
        });
        sleep(Duration::from_millis(delay));
        assert!(ip(&["link", "del", &iface]));
        let (code, message) = agent.join().unwrap();
        assert!(matches!(code, Some(3 | 64)), "after {delay} ms: {code:?}: {message}");
        assert!(message.contains(&iface), "after {delay} ms: {message}");
        assert_clean(bpffs.path());
        codes.push(code);
    }
    assert!(codes.contains(&Some(3)), "it never went too early: {codes:?}");
}
