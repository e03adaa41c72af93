//! What is printed while limits are held: JSON lines, one refreshed line on a terminal, or plain lines.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use shaper_common::{layout::Counters, units::Rate};

use crate::{
    limit::Limit,
    record::{Place, Record},
    spec::{Direction, Hook, Mode},
};

/// One JSON line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Attached(Attached<'a>),
    Counters(Snapshot<'a>),
    Detached(Snapshot<'a>),
    Gone { target: &'a str, reason: &'a str, unix_ms: u64 },
}

/// A limit is in force.
#[derive(Debug, Serialize)]
struct Attached<'a> {
    target: &'a str,
    direction: Direction,
    /// The interface; null for a cgroup.
    iface: Option<&'a str>,
    ifindex: Option<u32>,
    rate_bit_s: u64,
    burst_bytes: u64,
    /// How long packets may wait; null when policing.
    latency_ms: Option<f64>,
    overhead_bytes: i32,
    small_packet_reserve_ms: u64,
    mode: Mode,
    mode_reason: &'a str,
    /// Senders are told how fast they may go.
    paced: bool,
    /// `tcx`, `clsact` or `cgroup`.
    hook: &'a str,
    /// Segments that a packet of the container's may hold now; null if not capped.
    gso_max_segs: Option<u32>,
    /// Another agent had put it in force before.
    adopted: bool,
    unix_ms: u64,
}

/// What has been counted since the limit was put in force.
#[derive(Debug, Serialize)]
struct Snapshot<'a> {
    target: &'a str,
    direction: Direction,
    iface: Option<&'a str>,
    rate_bit_s: u64,
    burst_bytes: u64,
    /// The rate that passed since the last snapshot.
    passed_bit_s: u64,
    #[serde(flatten)]
    counters: CountersJson,
    debt_ms: f64,
    unix_ms: u64,
}

/// [`Counters`] with the names that they have wherever they are printed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CountersJson {
    passed_bytes: u64,
    passed_packets: u64,
    dropped_bytes: u64,
    dropped_packets: u64,
    share_drops: u64,
    early_drops: u64,
    contended_drops: u64,
    marked_packets: u64,
    queued_packets: u64,
    small_packets: u64,
    first_packets: u64,
    neighbour_packets: u64,
    gso_packets: u64,
    cas_retries: u64,
}

impl From<&Counters> for CountersJson {
    fn from(counters: &Counters) -> Self {
        Self {
            passed_bytes: counters.passed_bytes,
            passed_packets: counters.passed_packets,
            dropped_bytes: counters.dropped_bytes,
            dropped_packets: counters.dropped_packets,
            share_drops: counters.share_drops,
            early_drops: counters.early_drops,
            contended_drops: counters.contended_drops,
            marked_packets: counters.marked_packets,
            queued_packets: counters.queued_packets,
            small_packets: counters.small_packets,
            first_packets: counters.first_packets,
            neighbour_packets: counters.neighbour_packets,
            gso_packets: counters.gso_packets,
            cas_retries: counters.retries,
        }
    }
}

impl CountersJson {
    /// What matters of them, for people.
    pub(crate) fn in_words(&self) -> String {
        format!(
            "passed {} in {} packets ({} waited, {} marked), dropped {} in {}",
            bytes(self.passed_bytes),
            self.passed_packets,
            self.queued_packets,
            self.marked_packets,
            bytes(self.dropped_bytes),
            self.dropped_packets
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Terminal,
    Lines,
}

/// Prints to standard output. If nobody reads that any more, it falls silent: the limits matter more.
#[derive(Debug)]
pub(crate) struct Reporter {
    form: Form,
    silent: bool,
    /// When each slot was reported last, and what had passed by then.
    last: HashMap<u32, (Instant, u64)>,
}

impl Reporter {
    pub(crate) fn new(json: bool) -> Self {
        let form = match (json, io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Lines,
        };
        Self { form, silent: false, last: HashMap::new() }
    }

    /// Says that a limit is in force.
    pub(crate) fn attached(&mut self, limit: &Limit, counters: &Counters) {
        let record = &limit.record;
        // One that was taken over has been counting for a while.
        self.last.insert(limit.slot, (Instant::now(), counters.passed_bytes));
        let adopted = counters.passed_packets + counters.dropped_packets > 0;
        let (iface, ifindex) = interface(record);
        let event = Event::Attached(Attached {
            target: &record.target,
            direction: record.direction,
            iface,
            ifindex,
            rate_bit_s: record.rate_bit_s,
            burst_bytes: record.burst_bytes,
            latency_ms: record.latency_ms(),
            overhead_bytes: record.asked.overhead_bytes,
            small_packet_reserve_ms: record.asked.reserve_ms,
            mode: record.mode,
            mode_reason: &record.mode_reason,
            paced: record.paced,
            hook: hook_name(record),
            gso_max_segs: record.gso.map(|gso| gso.segments),
            adopted,
            unix_ms: unix_ms(),
        });
        let text = format!(
            "{}: limited to {}, burst {} ({}: {}; {}{})",
            record.title(),
            rate(record),
            bytes(record.burst_bytes),
            mode_name(record.mode),
            record.mode_reason,
            hook_name(record),
            if record.paced { "; senders paced" } else { "" }
        );
        self.print(&event, &text, "\n");
    }

    /// Prints a limit's counters.
    pub(crate) fn counters(&mut self, limit: &Limit, counters: &Counters, debt: Duration, alone: bool) {
        let snapshot = self.snapshot(limit, counters, debt);
        let text = text(&limit.record, &snapshot);
        // A carriage return and "erase to the end of the line", so that the next one replaces it.
        let end = if self.form == Form::Terminal && alone { "\x1b[K\r" } else { "\n" };
        self.print(&Event::Counters(snapshot), &text, end);
    }

    /// Prints the final counters of a limit that was removed.
    pub(crate) fn detached(&mut self, limit: &Limit, counters: &Counters, debt: Duration) {
        let snapshot = self.snapshot(limit, counters, debt);
        let text = format!(
            "{}: the limit is removed; in all passed {} in {} packets, dropped {} in {}",
            limit.record.title(),
            bytes(snapshot.counters.passed_bytes),
            snapshot.counters.passed_packets,
            bytes(snapshot.counters.dropped_bytes),
            snapshot.counters.dropped_packets
        );
        let text = if self.form == Form::Terminal { format!("\x1b[K{text}") } else { text };
        self.print(&Event::Detached(snapshot), &text, "\n");
        self.last.remove(&limit.slot);
    }

    /// Says that a target is not there, and that it is waited for.
    pub(crate) fn gone(&mut self, target: &str, reason: &str) {
        let text = format!("{target}: {reason}; waiting for it");
        self.print(&Event::Gone { target, reason, unix_ms: unix_ms() }, &text, "\n");
    }

    fn snapshot<'a>(&mut self, limit: &'a Limit, counters: &Counters, debt: Duration) -> Snapshot<'a> {
        let record = &limit.record;
        let now = Instant::now();
        let (before, passed_before) = self
            .last
            .insert(limit.slot, (now, counters.passed_bytes))
            .unwrap_or((now, counters.passed_bytes));
        let seconds = now.duration_since(before).as_secs_f64();
        let bits = counters.passed_bytes.saturating_sub(passed_before) as f64 * 8.0;
        Snapshot {
            target: &record.target,
            direction: record.direction,
            iface: interface(record).0,
            rate_bit_s: record.rate_bit_s,
            burst_bytes: record.burst_bytes,
            passed_bit_s: if seconds > 0.0 { (bits / seconds) as u64 } else { 0 },
            counters: counters.into(),
            // To a microsecond: more digits are noise.
            debt_ms: debt.as_micros() as f64 / 1000.0,
            unix_ms: unix_ms(),
        }
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
            tracing::warn!("cannot write to standard output ({error}); the limits stay, without reports");
            self.silent = true;
        }
    }
}

fn text(record: &Record, snapshot: &Snapshot<'_>) -> String {
    format!(
        "{} {}: {:.1} kbit/s, passed {}, dropped {} in {} packets, debt {:.0} ms",
        record.title(),
        rate(record),
        snapshot.passed_bit_s as f64 / 1000.0,
        bytes(snapshot.counters.passed_bytes),
        bytes(snapshot.counters.dropped_bytes),
        snapshot.counters.dropped_packets,
        snapshot.debt_ms
    )
}

/// Name and number of a record's interface.
pub(crate) fn interface(record: &Record) -> (Option<&str>, Option<u32>) {
    match &record.place {
        Place::Interface { name, index, .. } => (Some(name), Some(*index)),
        Place::Cgroup { .. } => (None, None),
    }
}

/// `tcx`, `clsact` or `cgroup`.
pub(crate) fn hook_name(record: &Record) -> &'static str {
    match &record.place {
        Place::Interface { hook: Hook::Clsact, .. } => "clsact",
        Place::Interface { .. } => "tcx",
        Place::Cgroup { .. } => "cgroup",
    }
}

/// `shape` or `police`.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Shape => "shape",
        Mode::Police => "police",
    }
}

/// A record's rate as `tc` writes it.
pub(crate) fn rate(record: &Record) -> String {
    Rate::from_bits_per_second(record.rate_bit_s)
        .map_or_else(|| format!("{}bit", record.rate_bit_s), |rate| rate.to_string())
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// An amount for people.
pub(crate) fn bytes(count: u64) -> String {
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
