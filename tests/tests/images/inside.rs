//! Whoever is root in a container finds no limit there, and cannot lift it.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sluice_tests::{docker::Docker, program, skipped, trace::Tracer};

use crate::{
    support::{Shaper, logs, promise, wait_for_shaper, wait_until_it_waits},
    uploader::{RATE, Uploader},
};

/// The machine's own tools and the agent are lent to the container: it shall not be for want of tools.
const TOOLS: [&str; 5] = [
    "--volume=/usr:/usr:ro",
    "--volume=/lib:/lib:ro",
    "--volume=/lib64:/lib64:ro",
    "--volume=/etc/iproute2:/etc/iproute2:ro",
    "--env=PATH=/agent:/usr/sbin:/usr/bin:/bin",
];
/// What root sees of its interface.
const LOOKS: [&str; 6] = [
    "ip -details link show eth0",
    "tc qdisc show dev eth0",
    "tc filter show dev eth0 ingress",
    "tc filter show dev eth0 egress",
    "tc filter show dev eth0",
    "tc qdisc show",
];
/// What root tries to lift it by; the names are put right again at the end.
const ATTEMPTS: [&str; 20] = [
    "tc qdisc del dev eth0 root",
    "tc qdisc replace dev eth0 root pfifo_fast",
    "tc qdisc add dev eth0 clsact",
    "tc filter del dev eth0 ingress",
    "tc filter del dev eth0 egress",
    "tc qdisc del dev eth0 clsact",
    "tc qdisc del dev eth0 ingress",
    "ip link set eth0 gso_max_segs 65535 gso_max_size 65536",
    "ip link set eth0 mtu 9000",
    "ip link set eth0 mtu 1500",
    "ip link set eth0 txqueuelen 5000",
    "ip link set eth0 promisc on",
    "ip link set eth0 xdp off",
    "ip link add above link eth0 type macvlan mode bridge",
    "ip link set eth0 address 02:00:00:00:00:01",
    "ip link set eth0 down",
    "ip link set eth0 name eth1",
    "ip link set eth1 up",
    "ip link set eth1 down",
    "ip link set eth1 name eth0",
];
/// What no container may do that has not been given the machine.
const REFUSED: [&str; 6] = [
    "shaper-agent clear --all",
    "shaper-agent clear --container held",
    "shaper-agent set --container held --rate 1gbit",
    "shaper-agent --iface eth0 --rate 1gbit",
    "mount -t bpf bpf /tmp",
    "nsenter --net=/proc/1/root/proc/1/ns/net --mount=/proc/1/root/proc/1/ns/mnt shaper-agent clear --all",
];
/// What the longest packet has beyond a frame once root has taken its interface's cap off.
const LONGEST: u64 = 65_536 - 1514;

#[test]
fn root_inside_sees_no_limit_and_cannot_lift_it() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let (shaper, docker) = Shaper::in_engine("inside", 9)?;
    let agent = program::path("shaper-agent")?;
    let agent = format!("--volume={}:/agent:ro", agent.parent().context("it lies in a folder")?.display());
    let (held, free) = (Uploader::new(&docker, "held")?, Uploader::new(&docker, "free")?);
    shaper.start(&docker, &[], &["--wait", "--container", "held", "--rate", RATE])?;
    wait_until_it_waits(&docker)?;

    for capabilities in [&[][..], &["--cap-add=NET_ADMIN", "--cap-add=NET_RAW"]] {
        println!("with {capabilities:?}");
        let options = [capabilities, &TOOLS, &[&agent]].concat();
        held.run(&options)?;
        free.run(&options)?;
        wait_for_shaper(&docker)?;
        held.is_limited("held")?;
        let other = free.address()?;
        let tracer = Tracer::start(&docker.bridge())?;
        let [before, _] = held.is_held("before root inside tries")?;

        nothing_is_seen(&docker)?;
        for attempt in REFUSED {
            let output = as_root(&docker, "held", attempt)?;
            ensure!(!output.0, "{attempt}: {}", output.1);
        }
        let mut done = 0;
        for attempt in ATTEMPTS {
            done += usize::from(as_root(&docker, "held", attempt)?.0);
            sleep(Duration::from_millis(100));
        }
        // Root with NET_ADMIN may do most of it to its own end of the veth; without, nothing.
        ensure!((done > 10) != capabilities.is_empty(), "{done} of the commands did something");
        as_root(&docker, "held", "ip link set eth0 up")?;
        held.is_held("after root inside has tried")?;
        let after = promise(&docker)?;
        ensure!(before.since == after.since, "the limit was made anew");

        let longest = if done > 0 { LONGEST } else { 0 };
        let ours = tracer.finish()?.only(|packet| packet.source != other);
        after.check(&ours, longest).with_context(|| logs(&docker, &["agent"]))?;
        docker.client(&["rm", "--force", "held", "free"])?;
    }
    Ok(())
}

/// Checks that root sees in the limited container what it sees in one that is not, but for the one thing that can be seen: the
/// agent has lowered how many segments a packet may hold.
fn nothing_is_seen(docker: &Docker) -> Result<()> {
    for look in LOOKS {
        let [ours, others] = ["held", "free"].map(|name| as_root(docker, name, look));
        let (ours, others) = (ours?, others?);
        let (ours, others) = ((ours.0, general(&ours.1)), (others.0, general(&others.1)));
        ensure!(ours == others, "{look}: {ours:?} in the limited container, {others:?} in another");
        ensure!(!ours.1.contains("bpf") && !ours.1.contains("sluice"), "{look}: {}", ours.1);
    }
    let mounts = as_root(docker, "held", "cat /proc/self/mounts")?.1;
    ensure!(!mounts.split_whitespace().any(|word| word == "bpf"), "{mounts}");
    let check = as_root(docker, "held", "shaper-agent check --json 2> /dev/null")?.1;
    let check: Value = serde_json::from_str(&check).with_context(|| format!("no report: {check}"))?;
    let lines = check["checks"].as_array().context("a report has checks")?;
    let program = lines.iter().find(|line| line["name"] == "limit program").context("limit program")?;
    let reason = program["reason"].as_str().unwrap_or_default();
    ensure!(program["ok"] == false && reason.contains("not permitted"), "bpf() works inside: {program}");
    Ok(())
}

/// What a command prints that does not differ from one container to another.
fn general(text: &str) -> String {
    let mut words = text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for index in 1..words.len() {
        if ["gso_max_segs", "link/ether", "link-netnsid"].contains(&&*words[index - 1]) {
            words[index] = "-".to_owned();
        }
    }
    // The interface's number, alone and in its name.
    let is_number =
        |word: &str| word.ends_with(':') && word[..word.len() - 1].bytes().all(|b| b.is_ascii_digit());
    words.retain(|word| !is_number(word) && !word.starts_with("eth0@if"));
    words.join(" ")
}

/// Runs a command as root of a container: whether it succeeded, and what it said.
fn as_root(docker: &Docker, name: &str, command: &str) -> Result<(bool, String)> {
    let output = docker.exec(name, &["sh", "-c", command])?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}
