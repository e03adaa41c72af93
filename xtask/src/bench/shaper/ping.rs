//! Small packets beside the bulk: one byte each way, over TCP and over UDP, at random intervals.
//!
//! Bytes are sent at their times whether or not the last answer has come, so that a long delay is felt by every
//! byte that falls into it and not only by the first.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sys::socket::{setsockopt, sockopt};

use super::pair::Pair;

/// The shortest and the longest time between two bytes.
const INTERVAL_MS: (u64, u64) = (50, 250);
/// How long an end waits before it looks whether it shall stop.
const STEP: Duration = Duration::from_millis(100);
/// How long answers are waited for at the end.
const LAST: Duration = Duration::from_secs(3);
/// How long the connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Round trips being measured, over TCP and UDP.
#[derive(Debug)]
pub struct Ping {
    /// Ends the asking.
    stop: Arc<AtomicBool>,
    /// Ends the answering.
    over: Arc<AtomicBool>,
    asking: [JoinHandle<Result<Answers>>; 2],
    answering: [JoinHandle<Result<()>>; 2],
}

/// What came back over one protocol.
#[derive(Debug, Default)]
pub struct Answers {
    /// Round-trip times in milliseconds. Of bytes over TCP that had no answer at the end: how long they had waited.
    pub round_trips_ms: Vec<f64>,
    /// Bytes without an answer.
    pub unanswered: u64,
}

impl Ping {
    /// Connects both and begins.
    ///
    /// # Errors
    ///
    /// If a socket cannot be opened or connected.
    pub fn start(pair: &Pair) -> Result<Self> {
        let (listener, echo) = pair
            .host
            .run(|| Ok((TcpListener::bind(pair.host_address(0))?, UdpSocket::bind(pair.host_address(0))?)))?;
        let (tcp, udp) = (listener.local_addr()?, echo.local_addr()?);
        let (asker, socket) = pair.container.run(|| {
            let stream =
                TcpStream::connect_timeout(&tcp, PATIENCE).context("no connection for small packets")?;
            let any = if udp.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(udp)?;
            Ok((stream, socket))
        })?;
        let (answerer, _) = listener.accept()?;
        for stream in [&asker, &answerer] {
            stream.set_nodelay(true)?;
            setsockopt(stream, sockopt::TcpCongestion, &"cubic".into())
                .context("this kernel has no cubic")?;
        }
        let (stop, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (a, b, c, d) = (Arc::clone(&stop), Arc::clone(&stop), Arc::clone(&over), Arc::clone(&over));
        Ok(Self {
            stop,
            over,
            asking: [
                std::thread::spawn(move || ask_tcp(asker, &a)),
                std::thread::spawn(move || ask_udp(&socket, &b)),
            ],
            answering: [
                std::thread::spawn(move || answer_tcp(answerer, &c)),
                std::thread::spawn(move || answer_udp(&echo, &d)),
            ],
        })
    }

    /// Ends the measurement, at most three seconds after the last byte, and gives what came back over TCP and UDP.
    ///
    /// # Errors
    ///
    /// If a socket failed.
    pub fn finish(self) -> Result<[Answers; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self.asking.map(joined);
        self.over.store(true, Ordering::Relaxed);
        let answered = self.answering.map(joined);
        let [tcp, udp] = asked;
        answered.into_iter().collect::<Result<()>>()?;
        Ok([tcp?, udp?])
    }
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
}

/// When bytes are sent.
struct Schedule<'a> {
    stop: &'a AtomicBool,
    next: Instant,
    end: Option<Instant>,
    state: u64,
}

impl<'a> Schedule<'a> {
    fn new(stop: &'a AtomicBool) -> Self {
        Self { stop, next: Instant::now(), end: None, state: 0x9E37_79B9_7F4A_7C15 }
    }

    /// How long to wait for an answer before it is time for something else; `None` when all is over.
    fn wait(&mut self, outstanding: bool) -> Option<Duration> {
        let now = Instant::now();
        if self.end.is_none() && self.stop.load(Ordering::Relaxed) {
            self.end = Some(now + LAST);
        }
        match self.end {
            Some(end) if now >= end || !outstanding => None,
            Some(end) => Some(STEP.min(end - now)),
            None => Some(STEP.min(self.next.saturating_duration_since(now))),
        }
        // A socket's time-out may not be zero.
        .map(|wait| wait.max(Duration::from_micros(1)))
    }

    /// Whether a byte is due now; if so, the next one's time is drawn.
    fn is_due(&mut self) -> bool {
        let due = self.end.is_none() && Instant::now() >= self.next;
        if due {
            // Knuth's linear congruential generator: any irregularity will do.
            self.state =
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (least, most) = INTERVAL_MS;
            self.next += Duration::from_millis(least + (self.state >> 33) % (most - least + 1));
        }
        due
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn ask_tcp(mut stream: TcpStream, stop: &AtomicBool) -> Result<Answers> {
    let mut schedule = Schedule::new(stop);
    let (mut waiting, mut answers, mut buffer) = (VecDeque::new(), Answers::default(), [0; 64]);
    while let Some(wait) = schedule.wait(!waiting.is_empty()) {
        stream.set_read_timeout(Some(wait))?;
        match stream.read(&mut buffer) {
            Ok(count) => {
                answers.round_trips_ms.extend(waiting.drain(..count.min(waiting.len())).map(milliseconds))
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error).context("the small packets' connection broke"),
        }
        if schedule.is_due() {
            stream.write_all(&[0]).context("the small packets' connection broke")?;
            waiting.push_back(Instant::now());
        }
    }
    answers.unanswered = waiting.len() as u64;
    answers.round_trips_ms.extend(waiting.into_iter().map(milliseconds));
    Ok(answers)
}

fn ask_udp(socket: &UdpSocket, stop: &AtomicBool) -> Result<Answers> {
    let mut schedule = Schedule::new(stop);
    // The byte is a number, by which answers find their question though some are lost.
    let (mut waiting, mut answers, mut number) = ([None::<Instant>; 256], Answers::default(), 0_u8);
    while let Some(wait) = schedule.wait(waiting.iter().any(Option::is_some)) {
        socket.set_read_timeout(Some(wait))?;
        let mut byte = [0];
        match socket.recv(&mut byte) {
            Ok(_) => answers.round_trips_ms.extend(waiting[usize::from(byte[0])].take().map(milliseconds)),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error).context("receiving small packets failed"),
        }
        if schedule.is_due() {
            // A full queue on this side is a loss like any other.
            socket.send(&[number]).ok();
            let forgotten = waiting[usize::from(number)].replace(Instant::now());
            answers.unanswered += u64::from(forgotten.is_some());
            number = number.wrapping_add(1);
        }
    }
    answers.unanswered += waiting.iter().flatten().count() as u64;
    Ok(answers)
}

fn answer_tcp(mut stream: TcpStream, over: &AtomicBool) -> Result<()> {
    stream.set_read_timeout(Some(STEP))?;
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => stream.write_all(&buffer[..count]).context("answering small packets failed")?,
            Err(error) if is_timeout(&error) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error).context("answering small packets failed"),
        }
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn answer_udp(socket: &UdpSocket, over: &AtomicBool) -> Result<()> {
    socket.set_read_timeout(Some(STEP))?;
    let mut byte = [0];
    loop {
        match socket.recv_from(&mut byte) {
            Ok((_, from)) => {
                socket.send_to(&byte, from).context("answering small packets failed")?;
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error).context("answering small packets failed"),
        }
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}
