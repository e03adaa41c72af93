//! Guest kernels: what a command in one sees and leaves.

use std::{fs, path::Path, process::Output, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluice_tests::{eventually, program::Program, skipped, vm};

const LONG: Duration = Duration::from_secs(120);

/// Whether the test can run here; says why if not.
fn can_run() -> bool {
    if let Some(why) = vm::missing() {
        skipped(why);
    }
    vm::missing().is_none()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{}: {}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The folder of the guest kernels.
fn home() -> String {
    std::env::var("SLUICE_VM").unwrap_or_else(|_| "/var/cache/sluice-vm".into())
}

/// Parent and state of a process.
fn process(pid: i32) -> Option<(i32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, state))
}

/// The processes below `pid`.
fn descendants(pid: i32) -> Vec<i32> {
    let pids: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let mut found = vec![pid];
    // A child may have a smaller number than its parent, so until nothing is added.
    loop {
        let before = found.len();
        for &pid in &pids {
            if !found.contains(&pid) && process(pid).is_some_and(|(parent, _)| found.contains(&parent)) {
                found.push(pid);
            }
        }
        if found.len() == before {
            found.remove(0);
            return found;
        }
    }
}

/// Nothing of a guest is left: none of its processes, no mount, no file.
fn nothing_is_left(processes: &[i32]) -> Result<()> {
    let alive = |pid: &i32| process(*pid).is_some_and(|(_, state)| state != "Z");
    ensure!(
        eventually(Duration::from_secs(10), || !processes.iter().any(alive)),
        "of the guest's processes {processes:?} some are left"
    );
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains(&home()), "a mount is left:\n{mounts}");
    let run = Path::new(&home()).join("run");
    let left: Vec<_> = fs::read_dir(&run)?.collect();
    ensure!(left.is_empty(), "files are left in {}: {left:?}", run.display());
    Ok(())
}

#[test]
fn commands_run_under_other_kernels() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    // What the shaper asks of a kernel comes by itself when it is used, namespaces have names, and IPv6 is there.
    let script = "uname -r; echo aside >&2
        ip netns add n && ip link add v type veth peer name w netns n && ip link add i type ifb &&
        tc qdisc add dev v root fq && tc qdisc add dev v clsact &&
        tc filter add dev v ingress matchall action mirred egress redirect dev i &&
        ip netns exec n ip -6 address add fd00::1/64 dev w &&
        mkdir /sys/fs/cgroup/a /sys/fs/bpf/a && echo all || echo not all
        exit 3";
    for (kernel, release) in [("uml612", "6.12"), ("tcg612", "6.12")] {
        let output = vm::run(&["--kernel", kernel], &["sh", "-c", script])?;
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let stdout = text(&output.stdout);
        let lines: Vec<&str> = stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{}", said(&output));
        assert!(lines[0].starts_with(release), "{}", said(&output));
        assert_eq!(lines[1], "all", "{}", said(&output));
        assert!(text(&output.stderr).lines().any(|line| line == "aside"), "{}", said(&output));
        nothing_is_left(&[])?;
    }
    Ok(())
}

#[test]
fn only_the_folders_given_are_written() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let (lost, kept) = (directory.path().join("lost"), directory.path().join("it's kept"));
    fs::create_dir(&lost)?;
    fs::create_dir(&kept)?;
    let words = ["sh", "-c", "echo a > \"$0/file\" && echo b > \"$1/file\" && cat \"$0/file\""];
    let paths = [&lost, &kept].map(|path| path.to_str().expect("the test's own paths are UTF-8"));
    let output = vm::run(&["--write", paths[1]], &[&words[..], &paths[..]].concat())?;
    assert_eq!(text(&output.stdout), "a\n", "{}", said(&output));
    assert!(!lost.join("file").exists());
    assert_eq!(fs::read_to_string(kept.join("file"))?, "b\n");
    Ok(())
}

#[test]
fn output_comes_through_whole() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    // What a background process says before the command ends, too; and it does not keep the guest alive.
    let output = vm::run(&[], &["sh", "-c", "sleep 1000 & seq 1 300000; printf '\\r\\000\\377'"])?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut expected: Vec<u8> = (1..=300_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    expected.extend_from_slice(b"\r\0\xff");
    assert!(output.stdout == expected, "{} bytes instead of {}", output.stdout.len(), expected.len());
    Ok(())
}

#[test]
fn a_guest_that_hangs_or_dies_has_its_own_exit_code() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let output = vm::run(&["--timeout", "4s"], &["sh", "-c", "echo begun; sleep 1000"])?;
    assert_eq!(output.status.code(), Some(124), "{}", said(&output));
    assert_eq!(text(&output.stdout), "begun\n");
    let output = vm::run(&[], &["sh", "-c", "echo c > /proc/sysrq-trigger"])?;
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(text(&output.stderr).contains("Kernel panic"), "{}", said(&output));
    let output = vm::run(&[], &["no-such-program"])?;
    assert_eq!(output.status.code(), Some(127), "{}", said(&output));
    nothing_is_left(&[])
}

#[test]
fn nothing_is_left_of_a_guest_that_is_killed() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    for kernel in ["uml612", "tcg612"] {
        for (signal, code) in [(Signal::SIGINT, Some(130)), (Signal::SIGKILL, None)] {
            let directory = tempfile::tempdir()?;
            let words = ["vm", "run", "--kernel", kernel, "--", "sh", "-c", "echo ready; sleep 1000"];
            let mut run = Program::start("xtask", &words, directory.path())?;
            run.line(LONG, |line| line == "ready")?;
            let processes = descendants(run.pid()?.as_raw());
            ensure!(!processes.is_empty(), "a guest is a process");
            run.signal(signal)?;
            assert_eq!(run.wait(LONG).context(kernel)?.code(), code, "{}", run.log());
            nothing_is_left(&processes)?;
        }
    }
    Ok(())
}
