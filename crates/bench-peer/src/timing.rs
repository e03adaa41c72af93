//! How long a kernel program takes for a packet.

use std::borrow::Cow;

use anyhow::{Context as _, Result, ensure};
use aya::{
    TestRun as _, TestRunOptions,
    programs::{SchedClassifier, loaded_programs},
};
use serde_json::json;

/// Ethernet, IPv4 and TCP headers with time stamps.
const HEADERS: usize = 14 + 20 + 32;
/// Runs whose median counts.
const RUNS: usize = 5;

/// Runs the classifier number `id` on `repeat` packets of `length` bytes, five times, and prints the median
/// nanoseconds a packet and the last verdict as a JSON line. The program's maps change as with real packets.
///
/// # Errors
///
/// There is no such program, or the kernel cannot run it.
pub(crate) fn run(id: u32, repeat: u32, length: usize) -> Result<()> {
    ensure!(length >= HEADERS, "a packet needs at least {HEADERS} bytes for its headers");
    let info = loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .with_context(|| format!("no program number {id} is loaded"))?;
    let program = SchedClassifier::from_program_info(info, Cow::Borrowed("timed"))
        .with_context(|| format!("program number {id} is no classifier"))?;
    let packet = packet(length);
    let (mut times, mut verdict) = (Vec::new(), 0);
    for _ in 0..RUNS {
        let options = TestRunOptions { data_in: Some(&packet), repeat, ..TestRunOptions::default() };
        let result = program.test_run(options).context("the kernel cannot run the program")?;
        times.push(result.duration.as_nanos() as u64);
        verdict = result.return_value.cast_signed();
    }
    times.sort_unstable();
    println!("{}", json!({ "ns_per_packet": times[RUNS / 2], "verdict": verdict, "runs": times }));
    Ok(())
}

/// A TCP segment over IPv4 with time stamps.
fn packet(length: usize) -> Vec<u8> {
    let mut packet = vec![0; length];
    packet[12..14].copy_from_slice(&[0x08, 0x00]);
    packet[14] = 0x45;
    packet[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
    packet[22] = 64;
    packet[23] = 6;
    packet[26..30].copy_from_slice(&[10, 99, 0, 2]);
    packet[30..34].copy_from_slice(&[10, 99, 0, 1]);
    packet[34..36].copy_from_slice(&40_000_u16.to_be_bytes());
    packet[36..38].copy_from_slice(&5001_u16.to_be_bytes());
    packet[46] = 0x80;
    packet[47] = 0x10;
    packet
}
