//! Senders are told how fast they may go, and let go at the end.

use std::{
    io::{self, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use nix::{
    getsockopt_impl,
    libc::{self, SO_MAX_PACING_RATE, SOL_SOCKET},
    setsockopt_impl, sockopt_impl,
    sys::{
        signal::Signal,
        socket::{getsockopt, setsockopt, sockopt::TcpCongestion},
    },
};

use serde_json::Value;

use crate::support::{Agent, Container, can_run, congestion_controls, eventually};

sockopt_impl!(
    /// The most bytes a second that a socket sends.
    MaxPacingRate, Both, SOL_SOCKET, SO_MAX_PACING_RATE, u64
);

/// Of a socket that nobody has told anything.
const UNPACED: u64 = u64::MAX;

/// Connections from the container to sinks on the host.
fn connect(container: &Container, count: usize) -> (Vec<TcpStream>, Vec<JoinHandle<u64>>) {
    let listener = TcpListener::bind((container.host.as_str(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let open = move || (0..count).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
    let streams = container.spawn(open).join().unwrap();
    let sinks = (0..count).map(|_| listener.accept().unwrap().0);
    let drain = |mut sink: TcpStream| io::copy(&mut sink, &mut io::sink()).unwrap();
    (streams, sinks.map(|sink| thread::spawn(move || drain(sink))).collect())
}

fn pace(stream: &TcpStream) -> u64 {
    getsockopt(stream, MaxPacingRate).unwrap()
}

/// A container, and an agent that polices what it sends and tells its senders; none if this kernel cannot, and says why.
fn paced(rate: &str) -> Option<(Container, Agent)> {
    if !can_run() {
        return None;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", rate, "--mode", "police"]);
    if agent.first["paced"] != true {
        println!("SKIPPED: no version 2 cgroups, so that senders cannot be told");
        return None;
    }
    Some((container, agent))
}

/// Asserts that paced sockets were let go, or that the agent has said why not: a kernel without descriptions of its types
/// (BTF; user-mode Linux has none) runs no program on all sockets.
fn assert_let_go(streams: &[TcpStream], stderr: &str) {
    if Path::new("/sys/kernel/btf/vmlinux").exists() {
        assert!(streams.iter().all(|stream| pace(stream) == UNPACED), "{stderr}");
    } else {
        assert!(stderr.contains("keep the pace that they were told"), "{stderr}");
    }
}

#[test]
fn paced_senders_share_the_rate_and_lose_next_to_nothing() {
    let Some((container, _agent)) = paced("4mbit") else { return };
    let controls = congestion_controls(&["cubic", "bbr"]);
    let (streams, sinks) = connect(&container, 4);
    let length = Duration::from_secs(8);
    let senders: Vec<_> = streams
        .into_iter()
        .zip(controls.iter().cycle())
        .map(|(mut stream, control)| {
            setsockopt(&stream, TcpCongestion, &(*control).into()).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            let end = Instant::now() + length;
            thread::spawn(move || {
                while Instant::now() < end {
                    // A time-out only means that the buffer is full.
                    let _ = stream.write(&[0; 16_384]);
                }
            })
        })
        .collect();
    sleep(Duration::from_secs(2));
    // What four first windows at once cost is over.
    let before = container.status().1;
    sleep(Duration::from_secs(5));
    let after = container.status().1;
    let grown = |field: &str| {
        let of = |status: &Value| status.pointer(field).and_then(Value::as_u64).unwrap();
        (of(&after) - of(&before)) as f64
    };
    let (passed, dropped) =
        (grown("/limits/0/counters/passed_bytes"), grown("/limits/0/counters/dropped_bytes"));
    let seconds = grown("/unix_ms") / 1000.0;
    assert!(dropped < passed * 0.01, "dropped {dropped} bytes beside {passed}");
    let share = passed * 8.0 / seconds / 4e6;
    assert!((0.9..1.1).contains(&share), "{share:.3} of the rate");

    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let bytes: Vec<u64> = sinks.into_iter().map(|sink| sink.join().unwrap()).collect();
    let (sum, squares) = bytes.iter().fold((0.0, 0.0), |(sum, squares), bytes| {
        let bytes = *bytes as f64;
        (sum + bytes, squares + bytes * bytes)
    });
    let jain = sum * sum / (4.0 * squares);
    assert!(jain > 0.95, "{jain:.3}: {bytes:?}");
}

/// Told while there is a limit, told anew when it changes, let go at its end even if it is silent; but a socket that has a pace
/// of its own keeps it.
#[test]
fn sockets_are_let_go_and_their_own_pace_stands() {
    let Some((container, agent)) = paced("1mbit") else { return };
    let (mut streams, _sinks) = connect(&container, 3);
    let own = 20_000;
    setsockopt(&streams[1], MaxPacingRate, &own).unwrap();
    for stream in &mut streams[..2] {
        stream.write_all(&[0; 30_000]).unwrap();
    }
    let told = |place: usize| pace(&streams[place]);
    eventually("a pace is told", || told(0) != UNPACED);
    assert!((10_000..=250_000).contains(&told(0)), "{} bytes a second at 1 Mbit/s", told(0));
    assert_eq!(told(1), own);

    let set = container.agent(&["set", "--iface", &container.iface, "--rate", "100mbit"]).output().unwrap();
    assert!(set.status.success(), "{set:?}");
    (&streams[0]).write_all(&[0; 30_000]).unwrap();
    eventually("a new pace is told", || told(0) > 1_000_000);

    let (status, _, stderr) = agent.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    assert_eq!(told(1), own);
    streams.remove(1);
    assert_let_go(&streams, &stderr);
    assert!(container.is_clean());
}

/// An agent that was killed leaves senders paced; `clear` lets them go.
#[test]
fn paces_outlive_a_killed_agent_until_they_are_cleared() {
    let Some((container, agent)) = paced("1mbit") else { return };
    agent.end(Signal::SIGKILL);
    let (mut streams, _sinks) = connect(&container, 1);
    streams[0].write_all(&[0; 30_000]).unwrap();
    eventually("a pace is told", || pace(&streams[0]) != UNPACED);
    let clear = container.agent(&["clear", "--all"]).output().unwrap();
    assert!(clear.status.success(), "{clear:?}");
    assert_let_go(&streams, &String::from_utf8_lossy(&clear.stderr));
    assert!(container.is_clean());
}

#[test]
fn without_pacing_sockets_are_left_alone() {
    if !can_run() {
        return;
    }
    let container = Container::new();
    let agent = Agent::start(&container, &["--rate", "1mbit", "--mode", "police", "--pacing", "off"]);
    assert_eq!(agent.first["paced"], false);
    let (mut streams, sinks) = connect(&container, 1);
    streams[0].write_all(&[0; 100_000]).unwrap();
    assert_eq!(pace(&streams[0]), UNPACED);
    drop(streams);
    assert_eq!(sinks.into_iter().map(|sink| sink.join().unwrap()).sum::<u64>(), 100_000);
}
