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

/// One column for each mode of Sluice's and each peer on this kernel; IPv4.
pub fn table(view: View<'_>) -> Table {
    let row = |limit: &Contender| Row { limit: *limit, family: Family::V4 };
    let ours = [Contender::Shape, Contender::Police];
    let here = view.rows();
    let is_here = |limit: &Contender| here.contains(&row(limit));
    let peers: Vec<Contender> = Contender::all()
        .filter(|each| !ours.contains(each) && *each != Contender::Unlimited && is_here(each))
        .collect();
    let pairs: Vec<(Contender, Contender)> =
        ours.into_iter().filter(is_here).flat_map(|our| peers.iter().map(move |&peer| (our, peer))).collect();
    let heads = vec![
        pairs.iter().map(|(our, _)| format!("{our} /")).collect(),
        pairs.iter().map(|(_, peer)| peer.to_string()).collect(),
    ];
    let mut table = Table::new("ratios: Sluice's figure divided by the peer's", heads);
    for (name, figure) in figures(view) {
        let ratio = |(our, peer): &(Contender, Contender)| match (figure(row(our)), figure(row(peer))) {
            (Some(our), Some(peer)) if peer != 0.0 => Some(blocks::digits(our / peer)),
            _ => None,
        };
        table.row(&name, pairs.iter().map(ratio).collect());
    }
    table
}

/// The figures that are compared, each with its name. What is measured at several rates is compared at the lowest and
/// the highest.
fn figures<'a>(view: View<'a>) -> Vec<(String, Figure<'a>)> {
    let mut figures: Vec<(String, Figure<'a>)> = Vec::new();
    let mut of_part = |part: Part, name: &str, figure: fn(&Traffic) -> Option<f64>| {
        let columns = view.columns(part);
        let ends = [columns.first(), columns.last()].map(|column| column.map(|column| column.rate_bit_s));
        for column in columns.into_iter().filter(|column| ends.contains(&Some(column.rate_bit_s))) {
            let name = format!("{name}, {}, {}", column.rate(), column.congestion());
            figures.push((name, Box::new(move |row| view.figure(row, &column, figure))));
        }
    };
    of_part(Part::Rate, "payload", |traffic| traffic.payload_of_ceiling);
    of_part(Part::Rate, "sent again", |traffic| Some(traffic.retransmitted_share));
    of_part(Part::Rate, "first second", |traffic| traffic.first_second_of_rate);
    of_part(Part::Small, "small TCP p99", |traffic| traffic.small_tcp.map(|trips| trips.p99_ms));
    of_part(Part::Small, "small UDP p99", |traffic| traffic.small_udp.map(|trips| trips.p99_ms));
    of_part(Part::Fair, "Jain", |traffic| traffic.jain);
    let single: [(&str, Figure<'a>); 4] = [
        ("time to set", Box::new(move |row| blocks::set_ms(view, row))),
        ("ns/packet, passing", Box::new(move |row| blocks::program(view, row).map(|times| times.0))),
        ("ns/packet, exceeding", Box::new(move |row| blocks::program(view, row).map(|times| times.1))),
        ("CPU s/GB", Box::new(move |row| blocks::cpu(view, row))),
    ];
    figures.extend(single.map(|(name, figure)| (name.to_owned(), figure)));
    figures
}
