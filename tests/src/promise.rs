//! What a limit says of itself, against what a trace says of it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::trace::Trace;

/// How much later than its time stamp a packet may meet the limit, in seconds: the kernel stamps it when the sender hands it
/// over, and judges it when the receiving side gets a processor.
pub const LATENESS: f64 = 0.1;
/// How long a shaper's packet may wait behind the limit that has counted it, in seconds.
const WAIT: f64 = 4.0;

/// One limit of `shaper-agent status --json`.
#[derive(Debug, Clone)]
pub struct Promise {
    /// When it was asked for, in seconds since 1970.
    pub at: f64,
    /// When it was put in force, in seconds since 1970.
    pub since: f64,
    /// Bytes a second.
    pub rate: f64,
    /// Bytes that may pass at once after a pause.
    pub burst: u64,
    /// Bytes that small packets may add to that.
    pub small: u64,
    /// Bytes that have passed since the limit was put in force.
    pub passed: u64,
    /// Bytes that were dropped or had to wait.
    pub held: u64,
    waits: bool,
}

impl Promise {
    /// Reads the only limit of a status.
    ///
    /// # Errors
    ///
    /// It has another number of limits, lacks a figure, or says that something is wrong with the limit.
    pub fn read(status: &str) -> Result<Self> {
        let status: Value = serde_json::from_str(status).with_context(|| format!("no status: {status}"))?;
        let limits = status["limits"].as_array().context("a status has limits")?;
        let [limit] = limits.as_slice() else {
            anyhow::bail!("{} limits: {status}", limits.len());
        };
        ensure!(limit["healthy"] == true, "{limit}");
        let number =
            |value: &Value, name: &str| value[name].as_u64().with_context(|| format!("no {name} in {value}"));
        let (rate, reserve) = (number(limit, "rate_bit_s")?, number(limit, "small_packet_reserve_ms")?);
        let counters = &limit["counters"];
        Ok(Self {
            at: number(&status, "unix_ms")? as f64 / 1e3,
            since: number(limit, "since_unix_ms")? as f64 / 1e3,
            rate: rate as f64 / 8.0,
            burst: number(limit, "burst_bytes")?,
            small: rate * reserve / 8000,
            passed: number(counters, "passed_bytes")?,
            held: number(counters, "dropped_bytes")? + number(counters, "queued_packets")?,
            waits: limit["mode"] == "shape",
        })
    }

    /// Checks that no window of the trace holds more than rate × time and the burst, and what small packets there are, as
    /// far as they may add to it. `longest` is what the longest packet has beyond a frame where the agent cannot cap packets.
    ///
    /// # Errors
    ///
    /// One does.
    pub fn check(&self, trace: &Trace, longest: u64) -> Result<()> {
        let small = self.small.min(trace.small_bytes());
        let most = (self.burst + small + longest) as f64 + self.rate * LATENESS;
        let excess = trace.excess(self.rate);
        println!(
            "{} bytes in all; the worst window has {excess:.0} more than the rate gives, {most:.0} may be",
            trace.bytes()
        );
        ensure!(
            excess <= most,
            "a window has {excess:.0} bytes above rate × time: {most:.0} may be, of which {} are the burst and {small} \
             small packets",
            self.burst
        );
        Ok(())
    }

    /// Checks that what the limit has counted between this status and a `later` one is what the trace has seen.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn agrees(&self, later: &Self, trace: &Trace) -> Result<()> {
        let counted = later.passed.saturating_sub(self.passed);
        let wait = if self.waits { WAIT } else { 0.0 };
        let least = trace.bytes_between(self.at + LATENESS + wait, later.at - LATENESS);
        let most = trace.bytes_between(self.at - LATENESS, later.at + LATENESS + wait);
        println!("{counted} bytes counted, {least} to {most} traced");
        ensure!(least > 0, "the trace is too short to tell");
        ensure!((least..=most).contains(&counted), "{counted} bytes counted, {least} to {most} traced");
        Ok(())
    }
}
