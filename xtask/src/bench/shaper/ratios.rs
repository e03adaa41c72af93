//! Sluice's figures divided by each peer's.

use super::blocks;
use super::contender::Contender;
use super::pair::Family;
use super::part::Part;
use super::table::Table;
use super::traffic::Traffic;
use super::view::{Row, View};

/// A figure of a row, looked up among the outcomes.
type Figure<'a> = Box<dyn Fn(Row) -> Option<f64> + 'a>;

/// One row for each mode of Sluice's and each peer on this kernel; IPv4.
pub fn table(view: View<'_>) -> Table {
    let figures = figures(view);
    let heads = vec![
        figures.iter().map(|(group, _, _)| group.clone()).collect(),
        figures.iter().map(|(_, name, _)| name.clone()).collect(),
    ];
    let mut table = Table::new("ratios: Sluice's figure divided by the peer's", heads);
    let row = |limit: &Contender| Row { limit: *limit, family: Family::V4 };
    let ours = [Contender::Shape, Contender::Police];
    let peers: Vec<Contender> =
        Contender::all().filter(|each| !ours.contains(each) && *each != Contender::Unlimited).collect();
    for our in &ours {
        for peer in &peers {
            let ratio = |figure: &Figure<'_>| match (figure(row(our)), figure(row(peer))) {
                (Some(our), Some(peer)) if peer != 0.0 => Some(blocks::digits(our / peer)),
                _ => None,
            };
            table.row(
                &format!("{our} / {peer}"),
                figures.iter().map(|(_, _, figure)| ratio(figure)).collect(),
            );
        }
    }
    table
}

/// The figures that are compared, each with the two lines of its heading.
fn figures<'a>(view: View<'a>) -> Vec<(String, String, Figure<'a>)> {
    let mut figures: Vec<(String, String, Figure<'a>)> = Vec::new();
    let mut of_part = |part: Part, group: &str, figure: fn(&Traffic) -> Option<f64>| {
        let columns = view.columns(part);
        let lowest = columns.iter().map(|column| column.rate_bit_s).min();
        for column in columns.into_iter().filter(|column| Some(column.rate_bit_s) == lowest) {
            let names = (format!("{group} {}", column.rate()), column.congestion());
            figures.push((names.0, names.1, Box::new(move |row| view.figure(row, &column, figure))));
        }
    };
    of_part(Part::Rate, "payload", |traffic| traffic.payload_of_ceiling);
    of_part(Part::Rate, "sent again", |traffic| Some(traffic.retransmitted_share));
    of_part(Part::Small, "TCP p99", |traffic| traffic.small_tcp.map(|trips| trips.p99_ms));
    of_part(Part::Small, "UDP p99", |traffic| traffic.small_udp.map(|trips| trips.p99_ms));
    of_part(Part::Fair, "Jain", |traffic| traffic.jain);
    let single: [(&str, Figure<'a>); 3] = [
        ("to set", Box::new(move |row| blocks::set_ms(view, row))),
        ("exceeding", Box::new(move |row| blocks::program(view, row).map(|times| times.1))),
        ("CPU s/GB", Box::new(move |row| blocks::cpu(view, row))),
    ];
    figures.extend(single.map(|(name, figure)| ("time".to_owned(), name.to_owned(), figure)));
    figures
}
