//! The metrics in Prometheus's text format, version 0.0.4.
//!
//! Written here instead of with `prometheus-client`: that one writes OpenMetrics, which older scrapers do not read,
//! and leaves quotes and backslashes in label values as they are.

use std::fmt::{self, Write as _};

use clap::ValueEnum as _;

use super::snapshot::{LimitSnapshot, Snapshot};

/// The media type of the text.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What every name begins with.
const PREFIX: &str = "sluice_shaper";

/// A metric: its name without the prefix, its help, and its value of a limit.
type Metric<T> = (&'static str, &'static str, fn(&LimitSnapshot) -> T);

const GAUGES: &[Metric<f64>] = &[
    ("in_force", "Whether the kernel limits the traffic now", |limit| f64::from(u8::from(limit.in_force))),
    ("rate_bytes_per_second", "What may pass in a second", |limit| limit.rate_bit_s as f64 / 8.0),
    ("burst_bytes", "What may pass at once after a pause", |limit| limit.burst_bytes as f64),
    (
        "debt_seconds",
        "How long the traffic would have to pause for the whole burst to be there again",
        |limit| limit.debt_seconds,
    ),
];

const COUNTERS: &[Metric<u64>] = &[
    ("passed_packets_total", "Packets let through, a GSO packet as one", |limit| {
        limit.counters.passed_packets
    }),
    ("passed_bytes_total", "Bytes let through, as on the wire", |limit| limit.counters.passed_bytes),
    ("dropped_packets_total", "Packets dropped, whatever the cause", |limit| limit.counters.dropped_packets),
    ("dropped_bytes_total", "Bytes dropped, as on the wire", |limit| limit.counters.dropped_bytes),
    ("share_drops_total", "Dropped packets whose flow had had its share", |limit| limit.counters.share_drops),
    ("early_drops_total", "Dropped packets, so that their sender loses fewer afterwards", |limit| {
        limit.counters.early_drops
    }),
    ("contended_drops_total", "Dropped packets that lost the bucket to other CPUs", |limit| {
        limit.counters.contended_drops
    }),
    ("marked_packets_total", "Passed packets that got a congestion mark", |limit| {
        limit.counters.marked_packets
    }),
    ("queued_packets_total", "Passed packets that went through the queue", |limit| {
        limit.counters.queued_packets
    }),
    ("small_packets_total", "Passed packets that are small", |limit| limit.counters.small_packets),
    ("first_packets_total", "Passed packets that went before bulk", |limit| limit.counters.first_packets),
    ("neighbour_packets_total", "Passed packets of ARP and neighbour discovery", |limit| {
        limit.counters.neighbour_packets
    }),
    ("gso_packets_total", "Passed packets that hold several segments", |limit| limit.counters.gso_packets),
    ("retries_total", "Times that another CPU changed the bucket first", |limit| limit.counters.retries),
];

/// All metrics of all limits.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    write_all(&mut text, snapshot).unwrap_or_default();
    text
}

fn write_all(text: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let labels: Vec<String> = snapshot
        .limits
        .iter()
        .map(|limit| {
            format!("target=\"{}\",direction=\"{}\"", Label(&limit.target.to_string()), limit.direction)
        })
        .collect();
    let limits = || labels.iter().zip(&snapshot.limits);

    header(text, "limit_info", "A limit that is wanted: its interface and how it is limited", "gauge")?;
    for (labels, limit) in limits() {
        let (iface, mode) = (Label(&limit.iface), mode(limit));
        writeln!(text, "{PREFIX}_limit_info{{{labels},iface=\"{iface}\",mode=\"{mode}\"}} 1")?;
    }
    for (name, help, value) in GAUGES {
        header(text, name, help, "gauge")?;
        for (labels, limit) in limits() {
            writeln!(text, "{PREFIX}_{name}{{{labels}}} {}", value(limit))?;
        }
    }
    for (name, help, value) in COUNTERS {
        header(text, name, help, "counter")?;
        for (labels, limit) in limits() {
            writeln!(text, "{PREFIX}_{name}{{{labels}}} {}", value(limit))?;
        }
    }
    Ok(())
}

fn header(text: &mut String, name: &str, help: &str, kind: &str) -> fmt::Result {
    writeln!(text, "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}")
}

fn mode(limit: &LimitSnapshot) -> String {
    limit.mode.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

/// A label's value, as the format wants it between quotes.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}
