//! What is printed: JSON lines, one refreshed line on a terminal, or plain lines.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use shaper_common::layout::Counters;

use crate::plan::Plan;

/// One JSON line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Attached(Attached<'a>),
    Counters(Snapshot<'a>),
    Detached(Snapshot<'a>),
}

/// The limit is in force.
#[derive(Debug, Serialize)]
struct Attached<'a> {
    iface: &'a str,
    ifindex: u32,
    rate_bit_s: u64,
    burst_bytes: u64,
    overhead_bytes: i32,
    small_packet_reserve_ms: u64,
    /// `tcx` or `clsact`.
    hook: &'a str,
    program_id: u32,
    /// Segments that a packet of the container's may hold now; null if not capped.
    gso_max_segs: Option<u32>,
    unix_ms: u64,
}

/// What has been counted since the start.
#[derive(Debug, Serialize)]
struct Snapshot<'a> {
    iface: &'a str,
    rate_bit_s: u64,
    burst_bytes: u64,
    /// The rate that passed since the last snapshot.
    passed_bit_s: u64,
    passed_bytes: u64,
    passed_packets: u64,
    dropped_bytes: u64,
    dropped_packets: u64,
    small_packets: u64,
    reserve_packets: u64,
    neighbour_packets: u64,
    gso_packets: u64,
    contended_packets: u64,
    cas_retries: u64,
    debt_ms: f64,
    unix_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Terminal,
    Lines,
}

/// Prints to standard output. If nobody reads that any more, it falls silent: the limit matters more.
#[derive(Debug)]
pub(crate) struct Reporter<'a> {
    plan: &'a Plan,
    form: Form,
    silent: bool,
    last: (Instant, u64),
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(plan: &'a Plan, json: bool) -> Self {
        let form = match (json, io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Lines,
        };
        Self { plan, form, silent: false, last: (Instant::now(), 0) }
    }

    /// Says that the limit is in force.
    pub(crate) fn attached(&mut self, hook: &str, program_id: u32, gso_max_segs: Option<u32>) {
        self.last = (Instant::now(), 0);
        let plan = self.plan;
        let event = Event::Attached(Attached {
            iface: &plan.interface.name,
            ifindex: plan.interface.index,
            rate_bit_s: plan.rate.bits_per_second(),
            burst_bytes: plan.burst.bytes(),
            overhead_bytes: plan.overhead,
            small_packet_reserve_ms: plan.reserve.as_millis() as u64,
            hook,
            program_id,
            gso_max_segs,
            unix_ms: unix_ms(),
        });
        let text =
            format!("`{}` is limited to {}, burst {} ({hook})", plan.interface.name, plan.rate, plan.burst);
        self.print(&event, &text, "\n");
    }

    /// Prints the counters.
    pub(crate) fn counters(&mut self, counters: &Counters, debt: Duration) {
        let snapshot = self.snapshot(counters, debt);
        let text = self.text(&snapshot);
        // A carriage return and "erase to the end of the line", so that the next one replaces it.
        let end = if self.form == Form::Terminal { "\x1b[K\r" } else { "\n" };
        self.print(&Event::Counters(snapshot), &text, end);
    }

    /// Prints the final counters.
    pub(crate) fn detached(&mut self, counters: &Counters, debt: Duration) {
        let snapshot = self.snapshot(counters, debt);
        let text = format!(
            "the limit is removed; in all passed {} in {} packets, dropped {} in {}",
            bytes(snapshot.passed_bytes),
            snapshot.passed_packets,
            bytes(snapshot.dropped_bytes),
            snapshot.dropped_packets
        );
        let text = if self.form == Form::Terminal { format!("\x1b[K{text}") } else { text };
        self.print(&Event::Detached(snapshot), &text, "\n");
    }

    fn snapshot(&mut self, counters: &Counters, debt: Duration) -> Snapshot<'a> {
        let now = Instant::now();
        let (before, passed_before) = std::mem::replace(&mut self.last, (now, counters.passed_bytes));
        let seconds = now.duration_since(before).as_secs_f64();
        let bits = counters.passed_bytes.saturating_sub(passed_before) as f64 * 8.0;
        Snapshot {
            iface: &self.plan.interface.name,
            rate_bit_s: self.plan.rate.bits_per_second(),
            burst_bytes: self.plan.burst.bytes(),
            passed_bit_s: if seconds > 0.0 { (bits / seconds) as u64 } else { 0 },
            passed_bytes: counters.passed_bytes,
            passed_packets: counters.passed_packets,
            dropped_bytes: counters.dropped_bytes,
            dropped_packets: counters.dropped_packets,
            small_packets: counters.small_packets,
            reserve_packets: counters.reserve_packets,
            neighbour_packets: counters.neighbour_packets,
            gso_packets: counters.gso_packets,
            contended_packets: counters.contended_packets,
            cas_retries: counters.retries,
            // To a microsecond: more digits are noise.
            debt_ms: debt.as_micros() as f64 / 1000.0,
            unix_ms: unix_ms(),
        }
    }

    fn text(&self, snapshot: &Snapshot<'_>) -> String {
        format!(
            "{} {}: {:.1} kbit/s, passed {}, dropped {} in {} packets, debt {:.0} ms",
            self.plan.interface.name,
            self.plan.rate,
            snapshot.passed_bit_s as f64 / 1000.0,
            bytes(snapshot.passed_bytes),
            bytes(snapshot.dropped_bytes),
            snapshot.dropped_packets,
            snapshot.debt_ms
        )
    }

    fn print(&mut self, event: &Event<'_>, text: &str, end: &str) {
        if self.silent {
            return;
        }
        let mut out = io::stdout().lock();
        let written = match self.form {
            Form::Json => {
                serde_json::to_writer(&mut out, event).map_err(io::Error::from).and_then(|()| writeln!(out))
            }
            Form::Terminal | Form::Lines => write!(out, "{text}{end}"),
        };
        if let Err(error) = written.and_then(|()| out.flush()) {
            tracing::warn!("cannot write to standard output ({error}); the limit stays, without reports");
            self.silent = true;
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=9_999_999 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        assert_eq!(
            (bytes(999), bytes(12_345), bytes(12_345_678)),
            ("999 B".into(), "12.3 kB".into(), "12.3 MB".into())
        );
    }
}
