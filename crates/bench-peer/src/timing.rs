//! How long an interface's kernel program takes for a packet.

use std::borrow::Cow;

use anyhow::{Context as _, Result, ensure};
use aya::{
    TestRun as _, TestRunOptions,
    programs::{SchedClassifier, TcAttachType},
};
use nix::net::if_::if_nametoindex;
use serde_json::json;

/// Ethernet, IPv4 and TCP headers with time stamps.
const HEADERS: usize = 14 + 20 + 32;
/// Runs whose median counts.
const RUNS: usize = 5;

/// `struct __sk_buff`, and where its `ifindex` is (`include/uapi/linux/bpf.h`).
const CONTEXT: usize = 192;
const IFINDEX: usize = 40;

/// Runs the first classifier at the TCX ingress of `iface` (Linux 6.6 or later) on `repeat` packets of `length` bytes, as
/// if the interface had received them, five times, and prints the median nanoseconds a packet and the last verdict as
/// a JSON line. The program's maps change as with real packets.
///
/// # Errors
///
/// There is no such program, or the kernel cannot run it.
pub(crate) fn run(iface: &str, repeat: u32, length: usize) -> Result<()> {
    ensure!(length >= HEADERS, "a packet needs at least {HEADERS} bytes for its headers");
    let index = if_nametoindex(iface).with_context(|| format!("there is no interface {iface}"))?;
    let (_, programs) = SchedClassifier::query_tcx(iface, TcAttachType::Ingress)
        .with_context(|| format!("cannot list the programs of {iface}"))?;
    let info =
        programs.into_iter().next().with_context(|| format!("{iface} has no program at its TCX ingress"))?;
    let program = SchedClassifier::from_program_info(info, Cow::Borrowed("timed"))
        .with_context(|| format!("the program of {iface} is no classifier"))?;
    let mut context = [0; CONTEXT];
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&index.to_ne_bytes());
    let packet = packet(length);
    let (mut times, mut verdict) = (Vec::new(), 0);
    for _ in 0..RUNS {
        let options = TestRunOptions {
            data_in: Some(&packet),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
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
