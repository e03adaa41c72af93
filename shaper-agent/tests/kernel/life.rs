//! The agent's life: what it refuses, what outlives it, and that it leaves nothing behind.

use std::{
    os::unix::process::CommandExt as _,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    flood::{Flood, Trace, assert_bound},
    support::{Agent, Container, can_run, eventually, ip},
};
use nix::sys::signal::Signal;

fn fails(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaper-agent"));
    command.args(arguments);
    command
}

#[test]
fn a_missing_interface_is_named() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let (code, stderr) = fails(&mut container.agent(&["--iface", "nosuch0", "--rate", "64kbit"]));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("`nosuch0`"), "{stderr}");
    assert!(container.is_clean());
}

#[test]
fn a_bad_rate_is_bad_usage() {
    let (code, stderr) = fails(&mut agent(&["--iface", "lo", "--rate", "fast"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("64kbit"), "{stderr}");
}

#[test]
fn a_dry_run_changes_nothing() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let output =
        container.agent(&["--iface", &container.iface, "--rate", "64kbit", "--dry-run"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("6056b") && text.contains(&container.iface), "{text}");
    assert_eq!(container.tcx(), 0);
    assert!(container.is_clean());
}

#[test]
fn missing_capabilities_are_named() {
    if !can_run() {
        return;
    }
    let mut command = agent(&["--iface", "lo", "--rate", "64kbit"]);
    command.uid(65_534).gid(65_534);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("SKIPPED: nobody may not run the agent here ({error})");
            return;
        }
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr.contains("CAP_NET_ADMIN") && stderr.contains("CAP_BPF"), "{stderr}");
}

#[test]
fn a_second_agent_is_refused_and_the_first_named() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    for &hook in container.hooks() {
        let first = Agent::start(&container, &["--rate", "64kbit", "--attach", hook]);
        assert_eq!(first.first["hook"], hook);
        let (code, stderr) = fails(&mut container.agent(&["--iface", &container.iface, "--rate", "1mbit"]));
        assert_eq!(code, Some(7), "{stderr}");
        assert!(stderr.contains("limited already, by shaper-agent (process "), "{stderr}");
        assert_eq!(first.end(Signal::SIGTERM).0.code(), Some(0));
        assert!(container.is_clean());
    }
}

/// The limit outlives its agent, and the next one takes it over as it is, counters and all.
#[test]
fn a_killed_agents_limit_stays_and_is_taken_over() {
    if !can_run() {
        return;
    }
    let hooks = Container::new().hooks();
    for &hook in hooks {
        let container = Container::new();
        let before = container.gso_max_segs();
        Agent::start(&container, &["--rate", "64kbit", "--attach", hook]).end(Signal::SIGKILL);
        let (code, status) = container.status();
        assert_eq!(code, Some(0), "{status}");
        let limit = &status["limits"][0];
        assert_eq!((&limit["rate_bit_s"], &limit["healthy"]), (&64_000.into(), &true.into()), "{status}");
        assert!(limit["agent_pid"].is_null(), "{status}");

        let next = Agent::start(&container, &["--rate", "1mbit", "--attach", hook]);
        let (_, status) = container.status();
        assert_eq!(status["limits"].as_array().unwrap().len(), 1, "{status}");
        assert_eq!(status["limits"][0]["rate_bit_s"], 1_000_000, "{status}");
        assert_eq!(status["limits"][0]["since_unix_ms"], limit["since_unix_ms"], "made anew: {status}");
        assert_eq!(next.end(Signal::SIGTERM).0.code(), Some(0));
        assert_eq!(container.clsact(), "");
        assert_eq!(container.tcx(), 0);
        assert_eq!(container.gso_max_segs(), before);
        assert!(container.is_clean());
    }
}

#[test]
fn a_limit_can_be_kept_changed_and_cleared() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "64kbit", "--download", "2mbit", "--keep"]);
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
    let iface = container.iface.as_str();
    let set = container.agent(&["set", "--iface", iface, "--rate", "128kbit"]).output().unwrap();
    assert!(set.status.success(), "{set:?}");
    let (_, status) = container.status();
    let rates: Vec<_> =
        status["limits"].as_array().unwrap().iter().map(|limit| &limit["rate_bit_s"]).collect();
    assert_eq!(rates, [128_000, 2_000_000], "{status}");

    let (code, stderr) = fails(&mut container.agent(&["set", "--iface", "nosuch0", "--rate", "1mbit"]));
    assert_eq!(code, Some(3), "{stderr}");
    let cleared = container.agent(&["clear", "--iface", iface]).output().unwrap();
    assert!(cleared.status.success(), "{cleared:?}");
    assert_eq!(container.tcx(), 0);
    assert!(container.is_clean());
    let (code, stderr) = fails(&mut container.agent(&["clear", "--iface", iface]));
    assert_eq!(code, Some(3), "{stderr}");
}

/// The qdisc of others stays.
#[test]
fn a_foreign_clsact_qdisc_stays() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let added =
        Command::new("tc").args(["qdisc", "add", "dev", &container.iface, "clsact"]).status().unwrap();
    assert!(added.success());
    let agent = Agent::start(&container, &["--rate", "64kbit", "--attach", "clsact"]);
    agent.end(Signal::SIGTERM);
    assert!(container.clsact().contains("qdisc clsact"), "{}", container.clsact());
    assert!(!container.clsact().contains("bpf"), "{}", container.clsact());
}

#[test]
fn an_interface_that_vanishes_can_end_the_agent() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let mut agent = Agent::start(&container, &["--rate", "64kbit", "--exit-when-gone"]);
    ip(&["link", "del", &container.iface]);
    let (status, _, stderr) = agent.wait();
    assert_eq!(status.code(), Some(64), "{stderr}");
    assert!(stderr.contains(&container.iface) && stderr.contains("gone"), "{stderr}");
    eventually("nothing is left", || container.is_clean());
}

/// An interface that comes back under its name is taken again.
#[test]
fn an_interface_that_comes_back_is_limited_again() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let mut agent = Agent::start(&container, &["--rate", "64kbit"]);
    ip(&["link", "del", &container.iface]);
    agent.event("gone");
    container.link();
    let begin = Instant::now();
    let attached = agent.event("attached");
    // Half a second at most where nothing else is on; emulated kernels and loaded machines take longer.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(attached["iface"], container.iface.as_str());
    assert!(container.is_limited());
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
    assert!(container.is_clean());
}

/// An agent can be started before its interface is there; Ctrl-C ends the waiting as it ends a limit.
#[test]
fn an_interface_is_waited_for() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    ip(&["link", "del", &container.iface]);
    let (status, _, stderr) = Agent::wait_for(&container, &["--rate", "64kbit"]).end(Signal::SIGINT);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(container.is_clean());

    let mut agent = Agent::wait_for(&container, &["--rate", "64kbit"]);
    assert!(agent.first["reason"].as_str().unwrap().contains(&container.iface), "{}", agent.first);
    container.link();
    let begin = Instant::now();
    let attached = agent.event("attached");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(attached["iface"], container.iface.as_str());
    assert!(container.is_limited());
    assert_eq!(agent.end(Signal::SIGINT).0.code(), Some(0));
    assert!(!container.is_limited());
    assert!(container.is_clean());
}

/// Whoever comes back with another interface has no other bucket: nothing is gained by a restart.
#[test]
fn a_debt_is_not_left_behind_with_the_interface() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    // A burst of ten seconds, and less than that is spent.
    let rate = 64_000.0;
    let mut agent = Agent::start(
        &container,
        &["--rate", "64kbit", "--burst", "10s", "--mode", "police", "--small-packet-reserve", "0ms"],
    );
    let burst = agent.first["burst_bytes"].as_u64().unwrap();
    let start = Instant::now();
    let mut trace = Trace::new();
    for _ in 0..3 {
        let flood = Flood::start(&container, 1);
        sleep(Duration::from_secs(1));
        trace.extend(flood.end());
        ip(&["link", "del", &container.iface]);
        agent.event("gone");
        container.link();
        agent.event("attached");
    }
    let bytes: u64 = trace.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes > burst / 2, "the flood did not use the burst: {bytes} of {burst} bytes");
    // Two datagrams are a quarter of a second at this rate: an emulated machine's clock may be that far off.
    assert_bound(&trace, &[(start, rate)], burst + 2 * 1042);
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
    assert!(container.is_clean());
}

/// What a target that was waited for has sent before the limit was in force is paid for afterwards.
#[test]
fn what_passes_before_the_limit_is_charged() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let flood = Flood::start(&container, 2);
    sleep(Duration::from_millis(300));
    flood.end();
    let away = format!("{}a", container.iface);
    let rename = |from: &str, to: &str| {
        ip(&["link", "set", from, "down"]);
        ip(&["link", "set", from, "name", to, "up"]);
    };
    rename(&container.iface, &away);
    let mut agent = Agent::wait_for(
        &container,
        &["--rate", "64kbit", "--burst", "10s", "--mode", "police", "--small-packet-reserve", "0ms"],
    );
    rename(&away, &container.iface);
    agent.event("attached");
    let (_, status) = container.status();
    let limit = &status["limits"][0];
    // At 64 kbit/s a millisecond of debt is eight bytes. More than 300 kB were sent: ten seconds' worth are charged.
    let owed = limit["debt_ms"].as_f64().unwrap() * 8.0;
    let passed = limit["counters"]["passed_bytes"].as_f64().unwrap();
    assert!(owed > passed + 4_000.0, "{owed} bytes are owed, and the limit itself let {passed} through");
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
    assert!(container.is_clean());
}

#[test]
fn a_limit_that_others_remove_is_noticed() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let mut agent = Agent::start(&container, &["--rate", "64kbit", "--attach", "clsact"]);
    let deleted =
        Command::new("tc").args(["filter", "del", "dev", &container.iface, "ingress"]).status().unwrap();
    assert!(deleted.success());
    let (status, _, stderr) = agent.wait();
    assert_eq!(status.code(), Some(65), "{stderr}");
    assert!(stderr.contains("removed by something else"), "{stderr}");
    assert!(container.is_clean());
}
