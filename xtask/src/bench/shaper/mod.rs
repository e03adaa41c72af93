//! Limits on a container's upload, beside each other.
//!
//! # Layout
//!
//! - [`options`]: the command line
//! - [`contender`], [`tool`]: the limits, and the programs that hold some of them
//! - [`pair`]: the path that is limited
//! - [`upload`], [`tcp_info`], [`ping`]: what is sent over it
//! - [`trace`], [`coverage`]: what comes out behind the limit
//! - [`cpu`]: what it costs
//! - [`measure`]: one measurement

pub mod contender;
pub mod coverage;
pub mod cpu;
pub mod measure;
pub mod options;
pub mod pair;
pub mod ping;
pub mod tcp_info;
pub mod tool;
pub mod trace;
pub mod upload;

use std::time::Duration;

use anyhow::Result;

use crate::interrupt::Interrupt;
use crate::machine;
use crate::workspace::Workspace;
use contender::{Contender, Programs};
use measure::{Load, measure};
use options::Options;
use pair::Path;

/// The packages whose programs take part.
const PACKAGES: [&str; 2] = ["shaper-agent", "bench-peer"];

/// Measures, prints the table and writes the JSON.
///
/// # Errors
///
/// If the machine cannot hold the measurement.
pub fn run(options: &Options) -> Result<()> {
    machine::require_root()?;
    let interrupt = Interrupt::register()?;
    let directory = match &options.programs {
        Some(directory) => directory.clone(),
        None => {
            let workspace = Workspace::locate()?;
            crate::setup::toolchain(&workspace)?;
            workspace.build_release(&PACKAGES)?;
            workspace.target().join("release")
        }
    };
    let [agent, peer] = PACKAGES.map(|name| directory.join(name));
    let programs = Programs::new(agent, peer, options.wondershaper.clone())?;
    let contenders: Vec<Contender> =
        Contender::all().filter(|each| options.only.is_empty() || options.only.contains(each)).collect();
    let path = Path { family: options.family, ecn: options.ecn, delay: Duration::ZERO };
    std::thread::scope(|scope| {
        let mut jobs = Vec::new();
        for contender in contenders {
            for rate in options.rates.iter().filter_map(|rate| rate.bit_s()) {
                for cc in &options.cc {
                    let duration = Duration::from_secs(options.seconds);
                    for small_packets in [false, true] {
                        let (programs, interrupt) = (&programs, &interrupt);
                        jobs.push(scope.spawn(move || {
                            let load =
                                Load { congestion: vec![cc.clone()], small_packets, duration, trace: true };
                            let result = measure(contender, rate, path, &load, programs, interrupt);
                            (contender, rate, cc, result)
                        }));
                    }
                }
            }
        }
        println!(
            "{:13} {:>8} {:6} {:>8} {:>7} {:>8} {:>6} {:>9} {:>25} {:>25}",
            "limit",
            "rate",
            "cc",
            "payload",
            "retrans",
            "srtt ms",
            "1st s",
            "above",
            "tcp p50/p99/max ms",
            "udp p50/p99/max ms"
        );
        for job in jobs {
            let Ok((contender, rate, cc, result)) = job.join() else { continue };
            let rate = crate::rate::Rate::Limit(rate).to_string();
            match result {
                Ok(traffic) => println!("{contender:13} {rate:>8} {cc:6} {}", line(&traffic)),
                Err(error) => println!("{contender:13} {rate:>8} {cc:6} not here: {error:#}"),
            }
        }
    });
    Ok(())
}

fn line(traffic: &measure::Traffic) -> String {
    let trips = |trips: Option<measure::RoundTrips>| {
        trips.map_or(String::new(), |trips| {
            format!("{:.1} {:.1} {:.1}", trips.p50_ms, trips.p99_ms, trips.max_ms)
        })
    };
    format!(
        "{:>7.2}% {:>6.2}% {:>8.1} {:>6.2} {:>9.0} {:>25} {:>25}",
        traffic.payload_of_ceiling.unwrap_or_default() * 100.0,
        traffic.retransmitted_share * 100.0,
        traffic.flows.first().map_or(0.0, |flow| flow.srtt_ms),
        traffic.first_second_of_rate.unwrap_or_default(),
        traffic.above_burst_bytes.unwrap_or_default(),
        trips(traffic.small_tcp),
        trips(traffic.small_udp),
    )
}
