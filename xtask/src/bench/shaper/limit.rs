//! A limit in force: how each contender's is set, changed and removed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::contender::Contender;
use super::pair::{CONTAINER_LINK, Pair};
use super::programs::Programs;
use super::tool::Tool;
use crate::rate::Rate;

/// A limit in force; removed when dropped.
#[derive(Debug)]
pub struct Limit {
    /// What it allows at once, in bytes, if it says so or was told.
    pub burst: Option<u64>,
    /// From the start of the program or command until it was in force.
    pub attach: Duration,
    /// The program that holds it, if one does.
    tool: Option<Tool>,
}

impl Limit {
    /// Puts `rate` (bit/s) in force on the pair. The calling thread must outlive it.
    ///
    /// # Errors
    ///
    /// Says what this kernel or machine lacks for it.
    pub fn set(contender: Contender, pair: &Pair, rate: u64, programs: &Programs) -> Result<Self> {
        let begin = Instant::now();
        let mut limit = match contender {
            Contender::Unlimited => Self::held(None, None),
            Contender::Police | Contender::Shape => agent(contender, pair, rate, programs)?,
            Contender::Cilium => cilium(pair, rate, programs)?,
            Contender::Tbf => tbf(pair, rate)?,
            Contender::HtbFqCodel => htb(pair, rate)?,
            Contender::Cni => cni(pair, rate)?,
            Contender::Wondershaper => wondershaper(pair, rate, programs)?,
        };
        limit.attach = begin.elapsed();
        Ok(limit)
    }

    /// Why this contender cannot change a rate that is in force, if it cannot.
    pub fn fixed(contender: Contender, programs: &Programs) -> Option<&'static str> {
        match contender {
            Contender::Police | Contender::Shape if !programs.has_set => {
                Some("this shaper-agent has no command `set`")
            }
            Contender::Cni => Some("the plugin sets a rate only when it adds a container"),
            Contender::Wondershaper => Some("it has to be cleared and set anew"),
            Contender::Unlimited => Some("there is no limit"),
            Contender::Police
            | Contender::Shape
            | Contender::Cilium
            | Contender::Tbf
            | Contender::HtbFqCodel => None,
        }
    }

    /// Changes its rate to `rate` (bit/s) while it is in force.
    ///
    /// # Errors
    ///
    /// If the contender cannot do that ([`Limit::fixed`]), or fails.
    pub fn change(
        &mut self,
        contender: Contender,
        pair: &Pair,
        rate: u64,
        programs: &Programs,
    ) -> Result<()> {
        let burst = burst(rate);
        match contender {
            Contender::Police | Contender::Shape => {
                let rate = Rate::Limit(rate).to_string();
                let mut command = pair.host.command(&programs.agent)?;
                let output = command.args(["set", "--iface", &pair.link, "--rate", &rate]).output()?;
                if !output.status.success() {
                    bail!("shaper-agent set failed: {}", String::from_utf8_lossy(&output.stderr).trim());
                }
                Ok(())
            }
            Contender::Cilium => {
                let tool = self.tool.as_mut().context("no program holds the limit")?;
                tool.tell(&rate.to_string())?;
                tool.wait_for("changed").map(drop)
            }
            Contender::Tbf => pair.container.call(&format!(
                "tc qdisc change dev {CONTAINER_LINK} root tbf rate {rate}bit burst {burst} latency 400ms"
            )),
            Contender::HtbFqCodel => pair.container.call(&format!(
                "tc class change dev {CONTAINER_LINK} parent 1: classid 1:1 htb rate {rate}bit burst {burst} cburst {burst}"
            )),
            Contender::Cni | Contender::Wondershaper | Contender::Unlimited => {
                bail!("the rate of {contender} cannot be changed")
            }
        }
    }

    /// Removes it, if it does not go with the pair.
    ///
    /// # Errors
    ///
    /// If its program did not run to the end.
    pub fn remove(self) -> Result<()> {
        self.tool.map_or(Ok(()), Tool::stop)
    }

    fn held(tool: Option<Tool>, burst: Option<u64>) -> Self {
        Self { burst, attach: Duration::ZERO, tool }
    }

    /// Waits until the tool says that its limit is in force.
    fn attached(mut tool: Tool) -> Result<Self> {
        let event = tool.wait_for("attached")?;
        Ok(Self::held(Some(tool), event["burst_bytes"].as_u64()))
    }
}

fn agent(contender: Contender, pair: &Pair, rate: u64, programs: &Programs) -> Result<Limit> {
    let mut command = pair.host.command(&programs.agent)?;
    command.args(["--iface", &pair.link, "--rate", &Rate::Limit(rate).to_string(), "--json"]);
    match (programs.has_modes, contender) {
        (true, _) => {
            command.args(["--mode", &contender.to_string()]);
        }
        (false, Contender::Shape) => bail!("this shaper-agent has no --mode"),
        (false, _) => {}
    }
    Limit::attached(Tool::start(command)?)
}

fn cilium(pair: &Pair, rate: u64, programs: &Programs) -> Result<Limit> {
    let mut command = pair.host.command(&programs.peer)?;
    command.args(["limit", "--iface", &pair.link, "--rate", &rate.to_string()]);
    Limit::attached(Tool::start(command)?)
}

/// A burst for `tc`'s own buckets: 10 ms of the rate, at least a full frame and something to spare.
fn burst(rate: u64) -> u64 {
    (rate / 8 / 100).max(1600)
}

fn tbf(pair: &Pair, rate: u64) -> Result<Limit> {
    let burst = burst(rate);
    pair.container.call(&format!(
        "tc qdisc add dev {CONTAINER_LINK} root tbf rate {rate}bit burst {burst} latency 400ms"
    ))?;
    Ok(Limit::held(None, Some(burst)))
}

fn htb(pair: &Pair, rate: u64) -> Result<Limit> {
    let burst = burst(rate);
    let link = CONTAINER_LINK;
    pair.container.call(&format!("tc qdisc add dev {link} root handle 1: htb default 1"))?;
    pair.container.call(&format!(
        "tc class add dev {link} parent 1: classid 1:1 htb rate {rate}bit burst {burst} cburst {burst}"
    ))?;
    pair.container.call(&format!("tc qdisc add dev {link} parent 1:1 fq_codel"))?;
    Ok(Limit::held(None, Some(burst)))
}

/// The plugin leaves the burst to its user; it is a second of the rate, at least a full frame. Its queue is 25 ms of the
/// rate and the burst.
fn cni(pair: &Pair, rate: u64) -> Result<Limit> {
    let (host, link) = (&pair.host, &pair.link);
    let burst = (rate / 8).max(1600);
    host.call("ip link add name ifb0 type ifb")?;
    host.call("ip link set dev ifb0 txqueuelen 0 up")?;
    host.call(&format!("tc qdisc add dev {link} handle ffff: ingress"))?;
    host.call(&format!(
        "tc filter add dev {link} parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb0"
    ))?;
    host.call(&format!("tc qdisc add dev ifb0 root tbf rate {rate}bit burst {burst} latency 25ms"))?;
    Ok(Limit::held(None, Some(burst)))
}

fn wondershaper(pair: &Pair, rate: u64, programs: &Programs) -> Result<Limit> {
    let Some(script) = &programs.wondershaper else {
        bail!("name magnific0's script with --wondershaper PATH");
    };
    if !rate.is_multiple_of(1000) {
        bail!("it takes whole kbit/s only");
    }
    let output = pair
        .container
        .command("bash")?
        .arg(script)
        .args(["-a", CONTAINER_LINK, "-u", &(rate / 1000).to_string()])
        .output()
        .context("cannot run bash")?;
    let text = String::from_utf8_lossy(&output.stderr);
    // It ends with success whatever `tc` said; a warning about the quantum is no failure.
    let failure = text.lines().find(|line| line.starts_with("Error") || line.contains("RTNETLINK"));
    match failure {
        Some(line) => bail!("its tc commands failed: {}", line.trim()),
        None if !output.status.success() => bail!("it failed ({}): {}", output.status, text.trim()),
        None => Ok(Limit::held(None, None)),
    }
}
