//! Root in the container, with CAP_NET_ADMIN and CAP_NET_RAW but without the host's namespaces, cannot lift its limit.

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    flood::{Flood, assert_bound, bytes_between},
    support::{Agent, Container, can_run},
};

const RATE: f64 = 2e6;
const BURST: u64 = 20_000;
/// A GSO packet that root in the container makes longer than the agent had allowed.
const LONGEST: u64 = 65_536;

/// What root tries, one after the other, `eth0` being its end of the veth.
const ATTEMPTS: [&[&str]; 16] = [
    &["ip", "link", "set", "eth0", "gso_max_segs", "65535", "gso_max_size", "65536"],
    &["tc", "qdisc", "replace", "dev", "eth0", "root", "pfifo_fast"],
    &["tc", "qdisc", "del", "dev", "eth0", "root"],
    &["tc", "qdisc", "add", "dev", "eth0", "clsact"],
    &["tc", "qdisc", "del", "dev", "eth0", "clsact"],
    &["tc", "qdisc", "del", "dev", "eth0", "ingress"],
    &["ip", "link", "set", "eth0", "mtu", "9000"],
    &["ip", "link", "set", "eth0", "mtu", "1500"],
    &["ip", "link", "set", "eth0", "txqueuelen", "10000"],
    &["ip", "link", "set", "eth0", "address", "02:00:00:00:00:01"],
    &["ip", "link", "set", "eth0", "promisc", "on"],
    &["ip", "link", "set", "eth0", "xdp", "off"],
    &["ip", "link", "add", "mac0", "link", "eth0", "type", "macvlan", "mode", "bridge"],
    &["ip", "link", "set", "eth0", "down"],
    &["ip", "link", "set", "eth0", "name", "eth1"],
    &["ip", "link", "set", "eth1", "up"],
];

/// Runs a command as root in the container has it.
fn inside(container: &Container, command: &[&str]) -> bool {
    let capabilities = "-all,+net_admin,+net_raw";
    Command::new("ip")
        .args(["netns", "exec", &container.namespace, "setpriv"])
        .arg(format!("--bounding-set={capabilities}"))
        .arg(format!("--inh-caps={capabilities}"))
        .args(command)
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn root_in_the_container_cannot_lift_the_limit() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "2mbit", "--burst", "20000b", "--mode", "police"]);
    let flood = Flood::start(&container, 2);
    let start = Instant::now();
    let mut succeeded = 0;
    for attempt in ATTEMPTS {
        succeeded += usize::from(inside(&container, attempt));
        sleep(Duration::from_millis(200));
    }
    // The interface lost its address when it went down, and its neighbours have to find it.
    container.address();
    sleep(Duration::from_secs(3));
    let (attempts_end, back) = (Instant::now() - Duration::from_millis(900), Instant::now());
    let trace = flood.end();
    // Most of it root may do, to its own end of the veth.
    assert!(succeeded >= ATTEMPTS.len() / 2, "only {succeeded} of the commands did anything");
    assert_bound(&trace, &[(start, RATE)], BURST + LONGEST);
    let bytes = bytes_between(&trace, attempts_end, back) as f64;
    assert!(bytes > RATE / 8.0 * 0.6, "the flood did not go on: {bytes} bytes in the last 0.9 s");
    assert!(container.is_limited());
    let (code, status) = container.status();
    assert_eq!((code, &status["limits"][0]["healthy"]), (Some(0), &true.into()), "{status}");
    assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
    assert!(container.is_clean());
}
