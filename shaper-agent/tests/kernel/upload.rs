//! The limit holds for real traffic through a real veth.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use crate::support::{Agent, Container, assert_follows, can_run, congestion_controls};
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

/// Several CPUs send at once, far above the rate; what arrives keeps the theorem's bound.
#[test]
fn a_flood_from_several_threads_keeps_the_bound() {
    if !can_run() {
        return;
    }
    const RATE: f64 = 2e6;
    const BURST: u64 = 20_000;
    const HEADERS: u64 = 42;
    let container = Container::new();
    let receiver = UdpSocket::bind((container.host.as_str(), 0)).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let address = receiver.local_addr().unwrap();
    let agent = Agent::start(&container, &["--rate", "2mbit", "--burst", "20000b", "--mode", "police"]);
    let started = Instant::now();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            container.spawn(move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                while started.elapsed() < Duration::from_secs(3) {
                    socket.send_to(&[0; 1000], address).unwrap();
                    // Twenty times the rate in all, and time for the others on this machine.
                    std::thread::sleep(Duration::from_micros(200));
                }
            })
        })
        .collect();
    let (mut bytes, mut buffer) = (0, [0; 2048]);
    let mut last = started;
    while started.elapsed() < Duration::from_millis(3200) {
        if let Ok(count) = receiver.recv(&mut buffer) {
            bytes += count as u64 + HEADERS;
            last = Instant::now();
        }
    }
    for sender in senders {
        sender.join().unwrap();
    }
    let seconds = last.duration_since(started).as_secs_f64();
    let bound = (RATE / 8.0 * seconds) as u64 + BURST;
    assert!(bytes <= bound, "{bytes} bytes in {seconds} s, {bound} allowed");
    assert!(bytes >= bound * 9 / 10, "{bytes} bytes in {seconds} s, {bound} allowed");
    let (_, detached, _) = agent.end(Signal::SIGINT);
    assert!(detached["dropped_packets"].as_u64().unwrap() > 1000, "{detached}");
    // The independent count and the program's own agree, but for the packets of address resolution.
    let counted = detached["passed_bytes"].as_u64().unwrap();
    assert!((bytes..bytes + 2000).contains(&counted), "{counted} counted, {bytes} received");
}

/// With the bulk of an upload waiting, small packets still pass at once.
#[test]
fn small_packets_do_not_wait_behind_an_upload() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "256kbit", "--mode", "police"]);
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
    let check = container.agent(&["check", "--json"]).output().unwrap();
    let check: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_follows(include_str!("../../../docs/schema/shaper-check.schema.json"), &check);
    let shape = check["checks"].as_array().unwrap().iter().find(|line| line["name"] == "mode shape").unwrap();
    let agent = if shape["ok"] == true {
        Agent::start(&container, &["--rate", "1mbit", "--mode", "shape"])
    } else {
        // Without fq, `auto` says so and polices; `shape` refuses.
        let refused = container
            .agent(&["--iface", &container.iface, "--rate", "1mbit", "--mode", "shape"])
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(5));
        let agent = Agent::start(&container, &["--rate", "1mbit"]);
        assert_eq!(agent.attached["mode"], "police");
        assert!(agent.attached["mode_reason"].as_str().unwrap().contains("fq"), "{}", agent.attached);
        assert_eq!(agent.end(Signal::SIGTERM).0.code(), Some(0));
        assert!(container.is_clean());
        return;
    };
    let bytes = upload(&container, "cubic", Duration::from_secs(8));
    let share = bytes as f64 * 8.0 / 7.0 / (1e6 * PAYLOAD_SHARE);
    assert!((0.97..1.03).contains(&share), "{share:.3} of the rate");
    let (status, detached, stderr) = agent.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert_eq!(detached["dropped_packets"], 0, "{detached}");
    assert!(detached["queued_packets"].as_u64().unwrap() > 500, "{detached}");
    assert!(container.is_clean());
}
