//! The run's network: a bridge, a veth and the edge's namespace, as Docker lays them out.
//!
//! ```text
//! sluice0 (bridge, .1) ── sluice-edge0 ═veth═ eth0 (.2) in the namespace sluice-edge
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::rest::Lock;
use super::{docker, netns};
use crate::cli::Runtime;

/// The bridge on the host.
pub const BRIDGE: &str = "sluice0";
/// The veth's end on the host.
pub const HOST_LINK: &str = "sluice-edge0";
/// The edge's network namespace.
pub const NAMESPACE: &str = "sluice-edge";

/// The network of one run.
#[derive(Debug)]
pub struct Network {
    subnet: Subnet,
    runtime: Runtime,
}

impl Network {
    /// Makes the network, and writes down what it is about to make in `lock` first.
    ///
    /// # Errors
    ///
    /// If one of the names is taken, no subnet is free, or the kernel refuses a step.
    pub fn create(lock: &mut Lock, runtime: Runtime) -> Result<Self> {
        for link in [BRIDGE, HOST_LINK] {
            if exists(link) {
                bail!(
                    "the network link {link} exists and is not from run-all: `ip link delete {link}` removes it"
                );
            }
        }
        if netns::path(NAMESPACE).exists() {
            bail!(
                "the network namespace {NAMESPACE} exists and is not from run-all: `ip netns delete {NAMESPACE}` \
                 removes it"
            );
        }
        let subnet = free_subnet(&ip(&["-json", "-4", "route", "show", "table", "all"])?)?;
        let network = Self { subnet, runtime };
        if runtime == Runtime::Docker {
            docker::create_network(lock, &network.cidr(), network.gateway())?;
            return Ok(network);
        }
        lock.record(|rest| {
            rest.namespace = Some(NAMESPACE.into());
            rest.links = vec![HOST_LINK.into(), BRIDGE.into()];
        })?;

        netns::create(NAMESPACE)?;
        // IPv6 would put neighbour and router solicitations of its own on the metered link.
        netns::inside(NAMESPACE, || disable_ipv6("default"))?;
        ip(&["link", "add", "name", BRIDGE, "type", "bridge", "mcast_snooping", "0"])
            .context("this kernel cannot make a bridge (CONFIG_BRIDGE)")?;
        disable_ipv6(BRIDGE)?;
        ip(&["link", "add", "name", HOST_LINK, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE])
            .context("this kernel cannot make a veth (CONFIG_VETH)")?;
        disable_ipv6(HOST_LINK)?;
        ip(&["link", "set", "dev", HOST_LINK, "master", BRIDGE, "up"])?;
        ip(&["addr", "add", &format!("{}/24", subnet.host(1)), "dev", BRIDGE])?;
        ip(&["link", "set", "dev", BRIDGE, "up"])?;
        ip(&["-netns", NAMESPACE, "addr", "add", &format!("{}/24", subnet.host(2)), "dev", "eth0"])?;
        ip(&["-netns", NAMESPACE, "link", "set", "dev", "lo", "up"])?;
        ip(&["-netns", NAMESPACE, "link", "set", "dev", "eth0", "up"])?;
        Ok(network)
    }

    /// The host's end of the edge's veth; none while there is no edge.
    pub fn edge_link(&self) -> Option<String> {
        match self.runtime {
            Runtime::Namespace => Some(HOST_LINK.into()),
            // The edge is alone on its bridge.
            Runtime::Docker => {
                let ports = fs::read_dir(format!("/sys/class/net/{BRIDGE}/brif")).ok()?;
                ports.flatten().next().map(|port| port.file_name().to_string_lossy().into_owned())
            }
        }
    }

    /// The host's address on the bridge.
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.host(1)
    }

    /// The subnet in CIDR notation.
    pub fn cidr(&self) -> String {
        format!("{}/24", self.subnet.host(0))
    }
}

/// Whether a link of this name exists.
pub fn exists(link: &str) -> bool {
    PathBuf::from("/sys/class/net").join(link).exists()
}

/// Runs `ip` with `arguments` and gives what it printed.
///
/// # Errors
///
/// With `ip`'s own message.
pub fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).output().context("cannot run `ip` (package iproute2)")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {}", arguments.join(" "), message.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn disable_ipv6(link: &str) -> Result<()> {
    let switch = format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6");
    match fs::write(&switch, "1") {
        // A kernel without IPv6 has nothing to switch off.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot write {switch}"))
        }
        _ => Ok(()),
    }
}

/// A /24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet([u8; 3]);

impl Subnet {
    fn host(self, number: u8) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, number)
    }
}

/// The first /24 of the pools that no route in `routes` (`ip -json route`) touches.
fn free_subnet(routes: &str) -> Result<Subnet> {
    let routes: Vec<serde_json::Value> =
        serde_json::from_str(routes).context("`ip -json route` is not JSON")?;
    let taken: Vec<(u32, u32)> = routes.iter().filter_map(|route| prefix(route["dst"].as_str()?)).collect();
    let pools = (0..=255).map(|c| [10, 77, c]).chain((0..=255).map(|c| [172, 31, c]));
    for candidate in pools.chain((0..=255).map(|c| [192, 168, c])) {
        let subnet = Subnet(candidate);
        let address = u32::from(subnet.host(0));
        let mask = u32::MAX << 8;
        // Two prefixes overlap if they agree in the bits of the shorter one.
        if taken.iter().all(|&(other, other_mask)| (address ^ other) & mask & other_mask != 0) {
            return Ok(subnet);
        }
    }
    bail!("every /24 of 10.77.0.0/16, 172.31.0.0/16 and 192.168.0.0/16 is routed elsewhere on this machine")
}

/// Address and mask of a route's destination; `None` for the default route.
fn prefix(destination: &str) -> Option<(u32, u32)> {
    let (address, length) = destination.split_once('/').unwrap_or((destination, "32"));
    let length: u32 = length.parse().ok()?;
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
    (mask != 0).then_some((u32::from(address.parse::<Ipv4Addr>().ok()?), mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_that_nobody_routes() {
        let free = |routes: &str| free_subnet(routes).unwrap().host(1).to_string();
        assert_eq!(free("[]"), "10.77.0.1");
        assert_eq!(free(r#"[{"dst":"default"},{"dst":"10.77.0.0/24"},{"dst":"10.77.1.9"}]"#), "10.77.2.1");
        assert_eq!(free(r#"[{"dst":"10.0.0.0/8"},{"dst":"172.16.0.0/12"}]"#), "192.168.0.1");
        assert!(free_subnet(r#"[{"dst":"128.0.0.0/1"},{"dst":"0.0.0.0/1"}]"#).is_err());
    }
}
