//! `status`: what is in force, and whether it really is.

use std::{
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::Duration,
};

use serde::Serialize;
use shaper_common::layout::Counters;

use crate::{
    cli::Status,
    error::AgentError,
    hook::{self, Ours},
    interface::Interface,
    ledger::Ledger,
    limit::Limit,
    pins::Pins,
    queue,
    record::{Place, Record},
    report::{CountersJson, bytes, hook_name, interface, mode_name, unix_ms},
    spec::{Direction, Mode, Target},
};

/// The whole report: `docs/schema/shaper-status.schema.json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    unix_ms: u64,
    limits: Vec<Entry<'a>>,
}

/// One limit.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    target: &'a str,
    direction: Direction,
    iface: Option<&'a str>,
    ifindex: Option<u32>,
    cgroup: Option<String>,
    hook: &'a str,
    mode: Mode,
    mode_reason: &'a str,
    paced: bool,
    rate_bit_s: u64,
    burst_bytes: u64,
    /// How long packets may wait; null when policing.
    latency_ms: Option<f64>,
    overhead_bytes: i32,
    small_packet_reserve_ms: u64,
    gso_max_segs: Option<u32>,
    /// The process that holds it; null if it has ended, which leaves the limit in force.
    agent_pid: Option<u32>,
    since_unix_ms: u64,
    /// The rate that passed while this looked.
    passed_bit_s: u64,
    debt_ms: f64,
    counters: CountersJson,
    /// Whether the limit is in force as it should be.
    healthy: bool,
    /// What is wrong, or might defeat the limit.
    problems: Vec<String>,
}

/// What one look at a limit saw.
struct Look {
    limit: Limit,
    counters: Counters,
    debt: Duration,
    ours: Ours,
}

/// Prints the limits that are in force.
///
/// # Errors
///
/// A limit that was asked for is not there, or [`AgentError::Unhealthy`].
pub(crate) fn run(options: &Status, pins: &Pins) -> Result<(), AgentError> {
    crate::privileges::check()?;
    loop {
        let before = look(pins, &options.targets)?;
        thread::sleep(options.interval);
        let after = look(pins, &options.targets)?;
        let seconds = options.interval.as_secs_f64();
        let entries: Vec<Entry<'_>> = after.iter().map(|now| entry(now, &before, seconds, pins)).collect();
        let unhealthy = entries.iter().filter(|entry| !entry.healthy).count();
        let shown = if options.json { print_json(entries) } else { print_text(&entries, options.watch) };
        if !options.watch {
            shown.map_err(|error| AgentError::System("write to standard output", error))?;
            return if unhealthy == 0 { Ok(()) } else { Err(AgentError::Unhealthy(unhealthy)) };
        }
        if shown.is_err() {
            // Nobody reads any more.
            return Ok(());
        }
    }
}

fn look(pins: &Pins, targets: &[Target]) -> Result<Vec<Look>, AgentError> {
    let Some(ledger) = Ledger::open(pins)? else {
        return match targets.first() {
            Some(target) => Err(AgentError::NoLimit(target.to_string())),
            None => Ok(Vec::new()),
        };
    };
    for target in targets {
        if ledger.of(target).is_empty() {
            return Err(AgentError::NoLimit(target.to_string()));
        }
    }
    let names: Vec<String> = targets.iter().map(Target::to_string).collect();
    let chosen = |limit: &&Limit| names.is_empty() || names.contains(&limit.record.target);
    let kernel = ledger.kernel();
    ledger
        .limits()
        .filter(chosen)
        .map(|limit| {
            let (counters, debt) = (limit.counters(kernel)?, limit.debt(kernel)?);
            Ok(Look { limit: limit.clone(), counters, debt, ours: kernel.ours(limit.record.direction) })
        })
        .collect()
}

fn entry<'a>(now: &'a Look, before: &[Look], seconds: f64, pins: &Pins) -> Entry<'a> {
    let record = &now.limit.record;
    let earlier = before.iter().find(|look| look.limit.slot == now.limit.slot);
    let passed = |counters: &Counters| counters.passed_bytes;
    let moved = earlier.map_or(0, |look| passed(&now.counters).saturating_sub(passed(&look.counters)));
    let problems = problems(record, now, earlier, pins);
    let (iface, ifindex) = interface(record);
    Entry {
        target: &record.target,
        direction: record.direction,
        iface,
        ifindex,
        cgroup: match &record.place {
            Place::Cgroup { path, .. } => Some(path.display().to_string()),
            Place::Interface { .. } => None,
        },
        hook: hook_name(record),
        mode: record.mode,
        mode_reason: &record.mode_reason,
        paced: record.paced,
        rate_bit_s: record.rate_bit_s,
        burst_bytes: record.burst_bytes,
        latency_ms: record.latency_ms(),
        overhead_bytes: record.asked.overhead_bytes,
        small_packet_reserve_ms: record.asked.reserve_ms,
        gso_max_segs: record.gso.map(|gso| gso.segments),
        agent_pid: record.owner.lives().then_some(record.owner.pid),
        since_unix_ms: record.since_unix_ms,
        passed_bit_s: if seconds > 0.0 { (moved as f64 * 8.0 / seconds) as u64 } else { 0 },
        debt_ms: now.debt.as_micros() as f64 / 1000.0,
        counters: (&now.counters).into(),
        healthy: problems.is_empty(),
        problems,
    }
}

/// What is wrong with a limit: not attached, something in front of it, a queue that is gone, packets that pass by, a
/// clock that cannot be.
fn problems(record: &Record, now: &Look, earlier: Option<&Look>, pins: &Pins) -> Vec<String> {
    let mut problems = Vec::new();
    if let Place::Interface { index, name, .. } = &record.place {
        let Some(link) = Interface::numbered(*index) else {
            return vec![format!("interface `{name}` is gone")];
        };
        match hook::full_chain(&link, record.direction) {
            Err(error) => problems.push(error.to_string()),
            Ok(chain) => {
                if chain.iter().any(|entry| now.ours.is(entry)) {
                    for before in hook::before(&chain, &now.ours) {
                        problems.push(format!(
                            "{before} runs first: what it accepts, redirects or drops is not limited"
                        ));
                    }
                } else {
                    problems.push(format!(
                        "the program is not on the {} hook of `{}`",
                        hook_name(record),
                        link.name
                    ));
                }
            }
        }
        if let Some(queue) = &record.queue
            && !queue::is_there(*index, queue)
        {
            problems
                .push("the queue that holds waiting packets is gone, down or has another qdisc".to_owned());
        }
        if let Some(earlier) = earlier {
            problems.extend(unseen(&link, record, now, earlier, pins));
        }
    } else if let Place::Cgroup { path, .. } = &record.place
        && !path.is_dir()
    {
        problems.push(format!("the cgroup {} is gone", path.display()));
    }
    if record.paced && pins.pacings().is_empty() {
        problems
            .push("senders are not told any more how fast they may go: somebody has removed that".to_owned());
    }
    // An hour and a packet at the lowest rate is the deepest that a bucket can be.
    if now.debt > Duration::from_secs(3 * 3600) {
        problems.push(format!("a debt of {} s cannot be: the bucket's clock is wrong", now.debt.as_secs()));
    }
    problems
}

/// Whether the interface has counted packets that the program has not seen.
fn unseen(link: &Interface, record: &Record, now: &Look, earlier: &Look, pins: &Pins) -> Option<String> {
    let seen = |counters: &Counters| counters.passed_packets + counters.dropped_packets;
    if seen(&now.counters) > seen(&earlier.counters) {
        return None;
    }
    let counted = link.packets(record.direction)?;
    std::thread::sleep(Duration::from_millis(100));
    let counted_later = link.packets(record.direction)?;
    if counted_later <= counted + 10 {
        return None;
    }
    // They may have come just now, and then the program has counted them by now.
    let later = look(pins, &[]).ok()?;
    let later = later.iter().find(|later| later.limit.slot == now.limit.slot)?;
    (seen(&later.counters) == seen(&now.counters)).then(|| {
        format!(
            "`{}` carries packets that the program does not see; something takes them away first",
            link.name
        )
    })
}

fn print_json(limits: Vec<Entry<'_>>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &Report { unix_ms: unix_ms(), limits })?;
    writeln!(out)?;
    out.flush()
}

fn print_text(entries: &[Entry<'_>], watch: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if watch && out.is_terminal() {
        // Home, and erase what is below.
        write!(out, "\x1b[H\x1b[J")?;
    }
    if entries.is_empty() {
        writeln!(out, "no limits are in force in this network namespace")?;
    }
    for entry in entries {
        let place = entry.iface.map_or_else(|| entry.cgroup.clone().unwrap_or_default(), str::to_owned);
        let rate = shaper_common::units::Rate::from_bits_per_second(entry.rate_bit_s)
            .map_or_else(String::new, |rate| rate.to_string());
        let health = if entry.healthy { "in force" } else { "NOT AS IT SHOULD BE" };
        let agent = entry.agent_pid.map_or_else(|| "no agent".to_owned(), |pid| format!("agent {pid}"));
        writeln!(
            out,
            "{} {}: {rate}, burst {}, {}{} ({}), {} at {place}, {agent}: {health}",
            entry.target,
            entry.direction,
            bytes(entry.burst_bytes),
            mode_name(entry.mode),
            if entry.paced { ", senders paced" } else { "" },
            entry.mode_reason,
            entry.hook,
        )?;
        writeln!(
            out,
            "  now {:.1} kbit/s, debt {:.0} ms; {}",
            entry.passed_bit_s as f64 / 1000.0,
            entry.debt_ms,
            entry.counters.in_words()
        )?;
        for problem in &entry.problems {
            writeln!(out, "  ! {problem}")?;
        }
    }
    out.flush()
}
