//! A flood out of a container, and what comes of it on the host's side.

use std::{
    io::IoSliceMut,
    net::UdpSocket,
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use nix::sys::{
    socket::{
        ControlMessageOwned, MsgFlags, recvmsg, setsockopt,
        sockopt::{Priority, ReceiveTimestampns},
    },
    time::TimeSpec,
};

use crate::support::Container;

/// What a datagram's headers add on the wire: Ethernet, IPv4, UDP.
const HEADERS: u64 = 42;
const PAYLOAD: usize = 1000;
/// How late the kernel may stamp a datagram on a machine that is busy, in seconds.
const LATENESS: f64 = 0.02;

/// When each datagram came, and its bytes on the wire.
pub(crate) type Trace = Vec<(Instant, u64)>;

/// Several threads of the container that send all they can, with the highest priority that a socket may have.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
    receiver: JoinHandle<Trace>,
}

impl Flood {
    /// Starts `threads` senders of a datagram every 200 µs each: 5 000 a second, 42 Mbit/s.
    pub(crate) fn start(container: &Container, threads: usize) -> Self {
        let receiver = UdpSocket::bind((container.host.as_str(), 0)).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        setsockopt(&receiver, ReceiveTimestampns, &true).unwrap();
        let address = receiver.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let senders = (0..threads)
            .map(|_| {
                let stop = stop.clone();
                container.spawn(move || {
                    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                    // The most that CAP_NET_ADMIN allows is more; this needs none.
                    setsockopt(&socket, Priority, &6).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        // What its own qdisc or a link that is down refuses is sent again.
                        let _ = socket.send_to(&[0; PAYLOAD], address);
                        thread::sleep(Duration::from_micros(200));
                    }
                })
            })
            .collect();
        let stopped = stop.clone();
        let receiver = thread::spawn(move || {
            let mut trace = Trace::new();
            while !stopped.load(Ordering::Relaxed) {
                trace.extend(receive(&receiver));
            }
            trace
        });
        Self { stop, senders, receiver }
    }

    /// Ends it and returns what came.
    pub(crate) fn end(self) -> Trace {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().unwrap();
        }
        self.receiver.join().unwrap()
    }
}

/// The next datagram, if one comes in time, with the kernel's own time stamp: this thread may have to wait for a CPU.
fn receive(socket: &UdpSocket) -> Option<(Instant, u64)> {
    let (mut buffer, mut control) = ([0; 2048], nix::cmsg_space!(TimeSpec));
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty()).ok()?;
    let stamp = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(SystemTime::UNIX_EPOCH + Duration::from(time)),
        _ => None,
    });
    let age = SystemTime::now().duration_since(stamp.unwrap()).unwrap_or_default();
    Some((Instant::now() - age, message.bytes as u64 + HEADERS))
}

/// By how many bytes the worst window of a trace exceeds `rate × time`, where the rate, in bit/s, changes at the times
/// given: the highest level of a bucket that each datagram fills and that leaks at the rate.
pub(crate) fn worst_window(trace: &Trace, rates: &[(Instant, f64)]) -> f64 {
    let leaked = |from: Instant, to: Instant| -> f64 {
        let ends = rates.iter().skip(1).map(|(at, _)| *at).chain([to.max(from)]);
        rates
            .iter()
            .zip(ends)
            .map(|((at, rate), end)| {
                let span = end.min(to).saturating_duration_since((*at).max(from));
                span.as_secs_f64() * rate / 8.0
            })
            .sum()
    };
    let (mut level, mut worst, mut last) = (0.0_f64, 0.0_f64, None);
    for (at, bytes) in trace {
        let drained = last.map_or(0.0, |last| leaked(last, *at));
        level = (level - drained).max(0.0) + *bytes as f64;
        worst = worst.max(level);
        last = Some(*at);
    }
    worst
}

/// Asserts that no window of the trace exceeds what rates and burst allow, give or take a late look at the clock.
pub(crate) fn assert_bound(trace: &Trace, rates: &[(Instant, f64)], burst: u64) {
    let fastest = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let (worst, allowed) = (worst_window(trace, rates), burst as f64 + fastest / 8.0 * LATENESS);
    assert!(worst <= allowed, "{worst:.0} bytes above the rate in some window, {allowed:.0} allowed");
}

/// The bytes of a trace between two times.
pub(crate) fn bytes_between(trace: &Trace, from: Instant, to: Instant) -> u64 {
    trace.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, bytes)| bytes).sum()
}

#[test]
fn the_worst_window_is_found() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let trace: Trace = [0, 10, 20, 1000, 1001, 1002].map(|ms| (at(ms), 1000)).into();
    // 8 kbit/s drain 1 byte a millisecond.
    assert!((worst_window(&trace, &[(start, 8_000.0)]) - 4_998.0).abs() < 1e-6);
    assert!((worst_window(&trace, &[(start, 8_000.0), (at(500), 800_000.0)]) - 2_980.0).abs() < 1e-6);
}
