//! The agent's life: what it refuses, and that it leaves nothing behind, however it ends.

use std::{os::unix::process::CommandExt as _, process::Command};

use crate::support::{Agent, Container, can_run, eventually, ip, program_is_loaded};
use nix::sys::signal::Signal;

fn fails(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_missing_interface_is_named() {
    let (code, stderr) = fails(&mut Agent::command("nosuch0", &["--rate", "64kbit"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`nosuch0`"), "{stderr}");
}

#[test]
fn a_bad_rate_is_bad_usage() {
    let (code, stderr) = fails(&mut Agent::command("lo", &["--rate", "fast"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("64kbit"), "{stderr}");
}

#[test]
fn a_dry_run_changes_nothing() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let output = Agent::command(&container.iface, &["--rate", "64kbit", "--dry-run"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("3028b") && text.contains(&container.iface), "{text}");
    assert_eq!(container.tcx(), 0);
}

#[test]
fn missing_capabilities_are_named() {
    if !can_run() {
        return;
    }
    let mut command = Agent::command("lo", &["--rate", "64kbit"]);
    command.uid(65_534).gid(65_534);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("SKIPPED: nobody may not run the agent here ({error})");
            return;
        }
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("CAP_NET_ADMIN") && stderr.contains("CAP_BPF"), "{stderr}");
}

#[test]
fn a_second_agent_is_refused_and_the_first_named() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    for hook in ["tcx", "clsact"] {
        let first = Agent::start(&container, &["--rate", "64kbit", "--attach", hook]);
        assert_eq!(first.attached["hook"], hook);
        let (code, stderr) = fails(&mut Agent::command(&container.iface, &["--rate", "1mbit"]));
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("limited already, by shaper-agent (process "), "{stderr}");
        assert_eq!(first.end(Signal::SIGTERM).0.code(), Some(0));
    }
}

#[test]
fn killed_with_tcx_leaves_no_program() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "64kbit"]);
    let program = agent.attached["program_id"].as_u64().unwrap();
    assert!(program_is_loaded(program));
    assert_eq!(container.tcx(), 1);
    agent.end(Signal::SIGKILL);
    eventually("the program is gone", || container.tcx() == 0 && !program_is_loaded(program));
}

#[test]
fn clsact_leaves_nothing_and_replaces_what_a_killed_agent_left() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "64kbit", "--attach", "clsact"]);
    assert!(container.clsact().contains("sluice_upload"), "{}", container.clsact());
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
    assert_eq!(container.clsact(), "");

    Agent::start(&container, &["--rate", "64kbit", "--attach", "clsact"]).end(Signal::SIGKILL);
    assert!(container.clsact().contains("sluice_upload"), "{}", container.clsact());
    let next = Agent::start(&container, &["--rate", "1mbit", "--attach", "clsact"]);
    assert_eq!(container.clsact().matches("direct-action").count(), 1, "{}", container.clsact());
    let (status, _, stderr) = next.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert!(stderr.contains("killed agent"), "{stderr}");
    assert_eq!(container.clsact(), "");
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
    assert!(!container.clsact().contains("sluice_upload"), "{}", container.clsact());
}

#[test]
fn an_interface_that_vanishes_ends_the_agent() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let mut agent = Agent::start(&container, &["--rate", "64kbit"]);
    ip(&["link", "del", &container.iface]);
    let (status, last, stderr) = agent.wait();
    assert_eq!(status.code(), Some(64));
    assert_eq!(last["event"], "detached");
    assert!(stderr.contains(&container.iface) && stderr.contains("gone"), "{stderr}");
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
}
