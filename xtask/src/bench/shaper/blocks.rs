//! The table on the terminal, block by block.

use std::fmt::Write;

use super::cell::{Finding, Outcome};
use super::change::Change;
use super::contender::Contender;
use super::part::Part;
use super::ratios;
use super::results::OnKernel;
use super::table::Table;
use super::traffic::{RoundTrips, Traffic};
use super::view::{Column, Row, View};

/// The table of one kernel.
pub fn text(on_kernel: &OnKernel) -> String {
    let view = View(&on_kernel.outcomes);
    let mut text = String::new();
    let rates = view.columns(Part::Rate);
    let mut tables = vec![
        uploads(view, &rates, "payload of the ceiling, %", &[("", payload)]),
        uploads(view, &rates, "segments sent again, %", &[("", again)]),
        bursts(view),
        small(view),
        fair(view),
        uploads(view, &view.columns(Part::Ecn), &format!("with ECN: {BOTH_TITLE}"), &BOTH),
    ];
    for columns in view.columns(Part::Delay).chunk_by(|a, b| a.delay_ms == b.delay_ms) {
        let title = format!("round trip of {} ms: {BOTH_TITLE}", columns[0].delay_ms);
        tables.push(uploads(view, columns, &title, &BOTH));
    }
    tables.extend([costs(view), ratios::table(view)]);
    text.extend(tables.iter().map(Table::text));
    for row in view.rows().into_iter().filter(|row| row.limit == Contender::Unlimited) {
        if let Some(rate) = view.median(row, Part::Rate, |traffic| Some(traffic.payload_bit_s)) {
            writeln!(text, "\n{}: {:.2} Gbit/s of payload", row.name(), rate / 1e9).ok();
        }
    }
    text + &troubles(view)
}

/// A figure of an upload, as it is shown.
type Figure = fn(&Traffic) -> Option<f64>;

const BOTH_TITLE: &str = "payload of the ceiling, %, and segments sent again, %";
const BOTH: [(&str, Figure); 2] = [("payload", payload), ("again", again)];

fn payload(traffic: &Traffic) -> Option<f64> {
    traffic.payload_of_ceiling.map(|share| share * 100.0)
}

fn again(traffic: &Traffic) -> Option<f64> {
    Some(traffic.retransmitted_share * 100.0)
}

/// Rates and congestion controls across, one or more figures under each.
fn uploads(view: View<'_>, columns: &[Column], title: &str, figures: &[(&str, Figure)]) -> Table {
    let columns: Vec<(&Column, &str, Figure)> = columns
        .iter()
        .flat_map(|column| figures.iter().map(move |&(name, figure)| (column, name, figure)))
        .collect();
    let mut heads: Vec<Vec<String>> = vec![
        columns.iter().map(|(column, _, _)| column.rate()).collect(),
        columns.iter().map(|(column, _, _)| column.congestion()).collect(),
    ];
    if figures.len() > 1 {
        heads.push(columns.iter().map(|(_, name, _)| (*name).to_owned()).collect());
    }
    let mut table = Table::new(title, heads);
    for row in view.rows().into_iter().filter(|row| row.limit != Contender::Unlimited) {
        let value = |(column, _, figure): &(&Column, &str, Figure)| view.figure(row, column, figure);
        table.row(&row.name(), columns.iter().map(|column| value(column).map(percent)).collect());
    }
    table
}

/// The first second and the worst window at each rate, the worst of the congestion controls.
fn bursts(view: View<'_>) -> Table {
    let mut columns = view.columns(Part::Rate);
    columns.dedup_by_key(|column| column.rate_bit_s);
    let heads = vec![
        columns.iter().flat_map(|column| [column.rate(), column.rate()]).collect(),
        columns.iter().flat_map(|_| ["1st s".to_owned(), "above".to_owned()]).collect(),
    ];
    let title = "first second against the rate, and bytes of the worst window above rate x time + the limit's own burst";
    let mut table = Table::new(title, heads);
    for row in view.rows() {
        let worst = |column: &Column, figure: Figure| {
            let at_rate =
                view.of(row, Part::Rate).filter(|outcome| outcome.cell.rate_bit_s == column.rate_bit_s);
            at_rate.filter_map(Outcome::traffic).filter_map(figure).reduce(f64::max)
        };
        let values = columns.iter().flat_map(|column| {
            let first = worst(column, |traffic| traffic.first_second_of_rate);
            let above = worst(column, |traffic| traffic.above_burst_bytes);
            [first.map(|share| format!("{share:.2}")), above.map(|bytes| format!("{bytes:+.0}"))]
        });
        table.row(&row.name(), values.collect());
    }
    table
}

/// Small packets' round trips over one protocol.
type Trips = fn(&Traffic) -> Option<RoundTrips>;

/// Round trips beside the bulk.
fn small(view: View<'_>) -> Table {
    let columns = view.columns(Part::Small);
    let trips: [(&str, Trips); 2] =
        [("TCP", |traffic| traffic.small_tcp), ("UDP", |traffic| traffic.small_udp)];
    let each = || columns.iter().flat_map(|column| trips.iter().map(move |trip| (column, trip)));
    let heads = vec![
        each()
            .flat_map(|(column, (name, _))| vec![format!("{name} beside {}", column.congestion()); 3])
            .collect(),
        each().flat_map(|_| ["p50", "p99", "max"].map(str::to_owned)).collect(),
    ];
    let rate = columns.first().map_or(String::new(), Column::rate);
    let mut table = Table::new(&format!("small packets beside bulk at {rate}: round trip, ms"), heads);
    for row in view.rows() {
        let values = each().flat_map(|(column, (_, trip))| {
            let quantile = |quantile: fn(RoundTrips) -> f64| {
                view.figure(row, column, |traffic| trip(traffic).map(quantile)).map(digits)
            };
            [quantile(|trips| trips.p50_ms), quantile(|trips| trips.p99_ms), quantile(|trips| trips.max_ms)]
        });
        table.row(&row.name(), values.collect());
    }
    table
}

/// Jain's index, the smallest share, and the worst window of all uploads together.
fn fair(view: View<'_>) -> Table {
    let columns = view.columns(Part::Fair);
    let heads = vec![
        columns.iter().flat_map(|column| vec![column.congestion(); 3]).collect(),
        columns.iter().flat_map(|_| ["Jain", "least", "above"].map(str::to_owned)).collect(),
    ];
    let rate = columns.first().map_or(String::new(), Column::rate);
    let title = format!(
        "four uploads sharing {rate}: Jain's index, the smallest upload against an equal share, and bytes of the worst \
         window above the burst"
    );
    let mut table = Table::new(&title, heads);
    for row in view.rows() {
        let values = columns.iter().flat_map(|column| {
            let two_digits =
                |figure: Figure| view.figure(row, column, figure).map(|value| format!("{value:.2}"));
            let above = view.figure(row, column, |traffic| traffic.above_burst_bytes);
            [
                two_digits(|traffic| traffic.jain),
                two_digits(|traffic| traffic.smallest_share),
                above.map(|bytes| format!("{bytes:+.0}")),
            ]
        });
        table.row(&row.name(), values.collect());
    }
    table
}

/// What a limit costs and how soon it follows.
fn costs(view: View<'_>) -> Table {
    let heads = vec![
        ["set, ms", "change, ms", "change, ms", "change, ms", "ns/packet", "ns/packet", "CPU s/GB"]
            .map(str::to_owned)
            .to_vec(),
        ["", "order", "down", "up", "passing", "exceeding", "at 1gbit"].map(str::to_owned).to_vec(),
    ];
    let mut table =
        Table::new("time to set, until a change bites, of the kernel program, of the machine", heads);
    for row in view.rows() {
        let values = [
            set_ms(view, row),
            change(view, row).map(|change| change.order_ms),
            change(view, row).and_then(|change| change.down_ms),
            change(view, row).and_then(|change| change.up_ms),
            program(view, row).map(|program| program.0),
            program(view, row).map(|program| program.1),
            cpu(view, row),
        ];
        table.row(&row.name(), values.map(|value| value.map(digits)).to_vec());
    }
    table
}

/// The median time to set a limit, in milliseconds.
pub(super) fn set_ms(view: View<'_>, row: Row) -> Option<f64> {
    view.median(row, Part::Rate, |traffic| traffic.attach_ms)
}

/// How soon a change of the rate bites.
fn change(view: View<'_>, row: Row) -> Option<Change> {
    view.of(row, Part::Change).find_map(|outcome| match &outcome.finding {
        Finding::Change(change) => Some(*change),
        _ => None,
    })
}

/// Nanoseconds of the program for a packet that passes and for one that exceeds.
pub(super) fn program(view: View<'_>, row: Row) -> Option<(f64, f64)> {
    view.of(row, Part::Program).find_map(|outcome| match &outcome.finding {
        Finding::Program(timing) => Some((timing.pass_ns, timing.exceed_ns)),
        _ => None,
    })
}

/// Processor seconds of the machine for a gigabyte.
pub(super) fn cpu(view: View<'_>, row: Row) -> Option<f64> {
    view.median(row, Part::Cpu, |traffic| traffic.cpu_s_per_gb)
}

/// A percentage: what is near 100 to a tenth, what is near 0 as exactly as it is known.
fn percent(value: f64) -> String {
    if value < 1.0 { digits(value) } else { format!("{value:.1}") }
}

/// Two or three significant digits of what may be tiny or large.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..0.01 => format!("{value:.0e}"),
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What is lacking or failed, one line each.
fn troubles(view: View<'_>) -> String {
    let mut lines: Vec<String> =
        view.troubles().map(|(cell, why)| format!("{} {}: {why}\n", cell.limit, cell.part)).collect();
    lines.dedup();
    if lines.is_empty() { String::new() } else { format!("\nnot measured\n{}", lines.concat()) }
}
