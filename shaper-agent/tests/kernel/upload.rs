//! The limit holds for real traffic through a real veth.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use crate::{
    flood::{Flood, assert_bound, bytes_between},
    support::{Agent, Container, assert_follows, can_run, congestion_controls},
};
use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt::TcpCongestion},
};

/// Payload of a full frame (IPv4, TCP timestamps).
const PAYLOAD_SHARE: f64 = 1448.0 / 1514.0;

/// Uploads for so long and returns the payload bytes that arrived in that time, the first second left out.
fn upload(container: &Container, congestion: &'static str, length: Duration) -> u64 {
    let listener = TcpListener::bind((container.host.as_str(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let sender = container.spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        setsockopt(&stream, TcpCongestion, &congestion.into()).unwrap();
        // Ends when the receiver has had enough.
        while stream.write_all(&[0; 16_384]).is_ok() {}
    });
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (start, skip) = (Instant::now(), Duration::from_secs(1));
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 16]);
    while start.elapsed() < length {
        let count = stream.read(&mut buffer).unwrap_or(0) as u64;
        if start.elapsed() >= skip {
            bytes += count;
        }
    }
    drop(stream);
    sender.join().unwrap();
    bytes
}

#[test]
fn a_tcp_upload_gets_the_rate() {
    if !can_run() {
        return;
    }
    for congestion in congestion_controls(&["cubic", "bbr"]) {
        let container = Container::new();
        let before = container.gso_max_segs();
        let agent = Agent::start(&container, &["--rate", "1mbit", "--mode", "police"]);
        assert_eq!(container.gso_max_segs(), "3");
        let bytes = upload(&container, congestion, Duration::from_secs(10));
        let share = bytes as f64 * 8.0 / 9.0 / (1e6 * PAYLOAD_SHARE);
        // Above by the burst, half a second in nine; below when a retransmission timeout falls into the window.
        assert!((0.93..1.06).contains(&share), "{congestion}: {share:.3} of the rate");

        let (status, detached, _) = agent.end(Signal::SIGTERM);
        assert_eq!(status.code(), Some(0));
        assert_eq!(detached["event"], "detached");
        assert_eq!(container.tcx(), 0);
        assert_eq!(container.gso_max_segs(), before);
        assert!(container.is_clean());
    }
}

/// Several CPUs send at once, far above the rate, while it changes up and down: what arrives keeps the theorem's bound, a
/// change counts within 100 ms, and nothing is missing from the counters.
#[test]
fn a_flood_from_several_threads_keeps_the_bound() {
    if can_run() {
        flood_while_the_rate_changes("police", Duration::ZERO);
    }
}

/// What has its departure keeps it, so a lower rate is in force when the queue has gone that was there before, 50 ms
/// at most; and a higher one begins no sooner. Without fq the agent polices by itself, and nothing waits.
#[test]
fn a_flood_from_several_threads_keeps_the_bound_in_the_queue() {
    if !can_run() {
        return;
    }
    let queue = if can_shape(&Container::new()) { Duration::from_millis(60) } else { Duration::ZERO };
    flood_while_the_rate_changes("auto", queue);
}

/// Four senders flood while the rate goes up and down; a lower one must be in force 100 ms after the order, or on a slow
/// machine when the command has ended, and where packets wait after `queue` more.
fn flood_while_the_rate_changes(mode: &str, queue: Duration) {
    const BURST: u64 = 20_000;
    const EACH: Duration = Duration::from_millis(1500);
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "1mbit", "--burst", "20000b", "--mode", mode]);
    let flood = Flood::start(&container, 4);
    let (mut rates, mut orders) = (vec![(Instant::now(), 1e6)], Vec::new());
    for (word, rate) in [("2400kbit", 2.4e6), ("500kbit", 0.5e6), ("2mbit", 2e6), ("1mbit", 1e6)] {
        std::thread::sleep(EACH);
        let order = Instant::now();
        let set = container.agent(&["set", "--iface", &container.iface, "--rate", word]).output().unwrap();
        assert!(set.status.success(), "{set:?}");
        let up = rates.last().is_some_and(|(_, last)| rate > *last);
        let bites = Instant::now().max(order + Duration::from_millis(100)) + queue;
        rates.push((if up { order } else { bites }, rate));
        orders.push(order);
    }
    std::thread::sleep(EACH);
    orders.push(Instant::now());
    let trace = flood.end();
    assert_bound(&trace, &rates, BURST);
    // Nor is less: in the last half second of each rate, that rate.
    for ((_, rate), next) in rates.iter().zip(orders) {
        let bytes = bytes_between(&trace, next - Duration::from_millis(500), next) as f64;
        assert!(bytes > rate / 16.0 * 0.85, "{bytes} bytes in half a second at {rate} bit/s");
    }
    let bytes: u64 = trace.iter().map(|(_, bytes)| bytes).sum();
    let (_, detached, _) = agent.end(Signal::SIGINT);
    assert!(detached["dropped_packets"].as_u64().unwrap() > 1000, "{detached}");
    // The independent count and the program's own agree, but for the packets of address resolution and those that came
    // after the end.
    let counted = detached["passed_bytes"].as_u64().unwrap();
    assert!((bytes..bytes + 150_000).contains(&counted), "{counted} counted, {bytes} received");
}

/// `kill -9` in the middle of a flood: not a byte above the limit, before or after the next agent takes it over.
#[test]
fn a_killed_agents_limit_holds_a_flood() {
    if !can_run() {
        return;
    }
    const BURST: u64 = 20_000;
    for &hook in Container::new().hooks() {
        let container = Container::new();
        let limit = ["--rate", "2mbit", "--burst", "20000b", "--mode", "police", "--attach", hook];
        let agent = Agent::start(&container, &limit);
        let flood = Flood::start(&container, 2);
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(700));
        agent.end(Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(700));
        let next = Agent::start(&container, &limit);
        std::thread::sleep(Duration::from_millis(700));
        let end = Instant::now();
        let trace = flood.end();
        assert_bound(&trace, &[(start, 2e6)], BURST);
        let bytes = bytes_between(&trace, start, end) as f64;
        assert!(bytes > 0.85 * 2e6 / 8.0 * (end - start).as_secs_f64(), "{bytes} bytes at {hook}");
        assert_eq!(next.end(Signal::SIGTERM).0.code(), Some(0));
        assert!(container.is_clean());
    }
}

/// With the bulk of an upload waiting, small packets still pass at once.
#[test]
fn small_packets_do_not_wait_behind_an_upload() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    // A paced sender leaves them room anyway.
    let agent = Agent::start(&container, &["--rate", "256kbit", "--mode", "police", "--pacing", "off"]);
    let echo = UdpSocket::bind((container.host.as_str(), 0)).unwrap();
    let address = echo.local_addr().unwrap();
    echo.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let pings = container.spawn(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..20 {
            socket.send_to(b"ping", address).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let counted = std::thread::spawn(move || (0..20).filter(|_| echo.recv(&mut [0; 16]).is_ok()).count());
    upload(&container, "cubic", Duration::from_secs(3));
    pings.join().unwrap();
    assert_eq!(counted.join().unwrap(), 20);
    let (_, detached, _) = agent.end(Signal::SIGTERM);
    assert!(detached["dropped_packets"].as_u64().unwrap() > 0, "{detached}");
}

/// Whether `check` says that this kernel can shape.
fn can_shape(container: &Container) -> bool {
    let check = container.agent(&["check", "--json"]).output().unwrap();
    let check: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_follows(include_str!("../../../docs/schema/shaper-check.schema.json"), &check);
    let shape = check["checks"].as_array().unwrap().iter().find(|line| line["name"] == "mode shape").unwrap();
    shape["ok"] == true
}

/// Where the kernel has `fq`, packets wait: the rate is full and nothing is sent again.
#[test]
fn what_waits_is_not_lost() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let (code, stderr) = {
        let output = container
            .agent(&[
                "--iface",
                &container.iface,
                "--rate",
                "1mbit",
                "--mode",
                "shape",
                "--exit-when-gone",
                "--dry-run",
            ])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, Some(0), "{stderr}");
    let agent = if can_shape(&container) {
        Agent::start(&container, &["--rate", "1mbit", "--mode", "shape"])
    } else {
        // Without fq, or where an ifb takes nothing from programs, `auto` says so and polices; `shape` refuses.
        let refused = container
            .agent(&["--iface", &container.iface, "--rate", "1mbit", "--mode", "shape"])
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(5));
        let agent = Agent::start(&container, &["--rate", "1mbit"]);
        assert_eq!(agent.first["mode"], "police");
        let reason = agent.first["mode_reason"].as_str().unwrap();
        assert!(reason.contains("fq") || reason.contains("ifb"), "{reason}");
        assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
        assert!(container.is_clean());
        return;
    };
    // Otherwise fq would take over the pacing of this machine's sockets, and lose it.
    let queues = std::process::Command::new("tc").args(["qdisc", "show"]).output().unwrap();
    let queues = String::from_utf8(queues.stdout).unwrap();
    let ours: Vec<_> = queues.lines().filter(|line| line.starts_with("qdisc fq ")).collect();
    assert!(!ours.is_empty() && ours.iter().all(|queue| queue.contains("nopacing")), "{queues}");
    let bytes = upload(&container, "cubic", Duration::from_secs(8));
    let share = bytes as f64 * 8.0 / 7.0 / (1e6 * PAYLOAD_SHARE);
    assert!((0.97..1.03).contains(&share), "{share:.3} of the rate");
    let (status, detached, stderr) = agent.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert_eq!(detached["dropped_packets"], 0, "{detached}");
    assert!(detached["queued_packets"].as_u64().unwrap() > 500, "{detached}");
    assert!(container.is_clean());
}
