//! A limited path, made ready before anything is sent over it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cell::Cell;
use super::contender::Contender;
use super::cpu;
use super::limit::Limit;
use super::pair::Pair;
use super::ping::{Answers, Ping};
use super::programs::Programs;
use super::trace::Tracer;
use super::traffic::Traffic;
use super::upload::{Sent, Upload};
use crate::interrupt::Interrupt;

/// How often an interruption is looked for.
const STEP: Duration = Duration::from_millis(100);
/// How long the machine is looked at before anything is sent: fifty ticks of its clock of busy time.
const QUIET: Duration = Duration::from_millis(500);

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// The congestion control of each upload.
    pub congestion: Vec<String>,
    /// Whether small packets go back and forth beside them.
    pub small_packets: bool,
    /// For how long.
    pub duration: Duration,
}

/// What was sent.
#[derive(Debug)]
pub struct Sending {
    /// For how long, in seconds.
    pub seconds: f64,
    /// The processors' work meanwhile.
    pub cpu: Duration,
    /// How many processors were busy with other things before.
    pub background_cpus: f64,
    /// The uploads.
    pub sent: Vec<Sent>,
    /// The small packets over TCP and over UDP.
    pub answers: Option<[Answers; 2]>,
}

/// A path with its limit in force and its trace begun.
#[derive(Debug)]
pub struct Lane {
    /// The path.
    pub pair: Pair,
    limit: Limit,
    tracer: Option<Tracer>,
}

impl Lane {
    /// Makes it. The calling thread must outlive it.
    ///
    /// # Errors
    ///
    /// If the path or the limit cannot be made.
    pub fn prepare(cell: &Cell, programs: &Programs) -> Result<Self> {
        let pair = Pair::create(cell.path())?;
        let limit = Limit::set(cell.limit, &pair, cell.rate_bit_s, programs)?;
        let tracer = cell.is_traced().then(|| Tracer::start(&pair)).transpose()?;
        Ok(Self { pair, limit, tracer })
    }

    /// Ends trace and limit, and judges what was sent.
    ///
    /// # Errors
    ///
    /// If the trace failed or the limit's program did not run to the end.
    pub fn finish(self, cell: &Cell, sending: &Sending) -> Result<Traffic> {
        let trace = self.tracer.map(Tracer::finish).transpose()?;
        let rate = (cell.limit != Contender::Unlimited).then_some(cell.rate_bit_s);
        let mut traffic = Traffic::judge(sending, trace.as_ref(), rate, self.limit.burst);
        traffic.attach_ms = rate.map(|_| self.limit.attach.as_secs_f64() * 1e3);
        self.limit.remove()?;
        Ok(traffic)
    }
}

/// Sends `load` over `pair`.
///
/// # Errors
///
/// If a connection cannot be made or breaks; [`Interrupted`](crate::interrupt::Interrupted) after a signal.
pub fn send(pair: &Pair, load: &Load, interrupt: &Interrupt) -> Result<Sending> {
    let background_cpus = background()?;
    let upload = Upload::start(pair, &load.congestion)?;
    let (begin, cpu) = (Instant::now(), cpu::busy()?);
    let ping = load.small_packets.then(|| Ping::start(pair)).transpose()?;
    while begin.elapsed() < load.duration {
        interrupt.check()?;
        std::thread::sleep(STEP.min(load.duration.saturating_sub(begin.elapsed())));
    }
    // While bulk goes on, so that the last of them have it beside them too.
    let answers = ping.map(Ping::finish).transpose()?;
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu::busy()?.saturating_sub(cpu));
    let sent = upload.finish()?;
    Ok(Sending { seconds, cpu, background_cpus, sent, answers })
}

/// How many processors are busy while nothing is sent.
fn background() -> Result<f64> {
    let (begin, cpu) = (Instant::now(), cpu::busy()?);
    std::thread::sleep(QUIET);
    Ok(cpu::busy()?.saturating_sub(cpu).as_secs_f64() / begin.elapsed().as_secs_f64())
}
