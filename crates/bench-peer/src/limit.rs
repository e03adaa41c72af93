//! Cilium's rule on an interface.

use std::io::{BufRead as _, Write as _, stdin, stdout};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, include_bytes_aligned,
    maps::Array,
    programs::{SchedClassifier, TcAttachType, tc},
    util::KernelVersion,
};
use serde_json::json;

/// The kernel program's object.
static OBJECT: &[u8] = include_bytes_aligned!(env!("BENCH_PEER_EBPF_OBJECT"));

/// `Bucket` of the kernel program: rate in bytes a second, tokens, time of the last packet.
type Bucket = [u64; 3];

/// Limits what `iface` receives to `rate` bits a second until standard input ends. A line there is a new rate. Prints
/// a JSON line when a rate is in force.
///
/// # Errors
///
/// The kernel takes the program or its hook not, or a line is not a rate.
pub(crate) fn run(iface: &str, rate: u64) -> Result<()> {
    let mut ebpf = Ebpf::load(OBJECT).context("the kernel does not take the program")?;
    set(&mut ebpf, rate)?;
    let program: &mut SchedClassifier =
        ebpf.program_mut("token_bucket").context("the object has no such program")?.try_into()?;
    program.load().context("the kernel does not take the program")?;
    // Before 6.6 a program at ingress is a filter of the clsact qdisc.
    if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
        tc::qdisc_add_clsact(iface).with_context(|| format!("cannot add a clsact qdisc to {iface}"))?;
    }
    program
        .attach(iface, TcAttachType::Ingress)
        .with_context(|| format!("cannot attach the program to {iface}"))?;
    say(&json!({ "event": "attached", "burst_bytes": rate / 8 }))?;
    for line in stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        let rate =
            line.trim().parse().with_context(|| format!("`{line}` is not a number of bits a second"))?;
        set(&mut ebpf, rate)?;
        say(&json!({ "event": "changed", "rate_bit_s": rate, "burst_bytes": rate / 8 }))?;
    }
    Ok(())
}

/// Begins with a full bucket, as Cilium does when a limit is set.
fn set(ebpf: &mut Ebpf, rate: u64) -> Result<()> {
    let map = ebpf.map_mut("BUCKET").context("the object has no such map")?;
    let mut map: Array<_, Bucket> = map.try_into()?;
    map.set(0, [rate / 8, rate / 8, 0], 0).context("cannot write the program's map")
}

fn say(event: &serde_json::Value) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{event}").and_then(|()| out.flush()).context("cannot write to standard output")
}
