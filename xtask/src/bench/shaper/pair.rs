//! The path that is measured: a container's namespace and a host's, joined as a container engine joins them.
//!
//! ```text
//! container: eth0 (.2) ═veth═ bsPID.N ─ br0 (.1): host
//!                       limits stand here │ the packet trace here, behind them
//! ```
//!
//! The host's side is a namespace too, so that nothing of the machine's own network is touched.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bench::namespace::Namespace;

/// The host's bridge.
pub const BRIDGE: &str = "br0";
/// The container's link.
pub const CONTAINER_LINK: &str = "eth0";

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Family {
    /// IPv4
    #[serde(rename = "4")]
    #[value(name = "4")]
    V4,
    /// IPv6
    #[serde(rename = "6")]
    #[value(name = "6")]
    V6,
}

/// What the path is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The protocol that its ends speak.
    pub family: Family,
    /// Whether they negotiate ECN.
    pub ecn: bool,
    /// The round trip's delay that is added on the way back to the container (needs the kernel's netem).
    pub delay: Duration,
}

/// A container and its host.
#[derive(Debug)]
pub struct Pair {
    /// The container's side.
    pub container: Namespace,
    /// The host's side.
    pub host: Namespace,
    /// The veth's end on the host, a port of [`BRIDGE`]. No other pair of this machine has a link of this name.
    pub link: String,
    family: Family,
}

impl Pair {
    /// Makes both ends and joins them. The calling thread must outlive the pair.
    ///
    /// # Errors
    ///
    /// If the kernel refuses a step.
    pub fn create(path: Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pair = Self {
            container: Namespace::create()?,
            host: Namespace::create()?,
            // Unique on the machine: a limit may be pinned under its interface's name.
            link: format!("bs{}.{number}", std::process::id()),
            family: path.family,
        };
        let Self { container, host, link, .. } = &pair;
        if path.family == Family::V4 {
            // IPv6 would put solicitations of its own on the measured link.
            for namespace in [container, host] {
                namespace.sysctl("ipv6/conf/all/disable_ipv6", "1").ok();
                namespace.sysctl("ipv6/conf/default/disable_ipv6", "1").ok();
            }
        }
        for namespace in [container, host] {
            namespace.sysctl("ipv4/tcp_ecn", if path.ecn { "1" } else { "0" })?;
            namespace.call("ip link set dev lo up")?;
        }
        host.call(&format!("ip link add name {BRIDGE} type bridge mcast_snooping 0"))?;
        host.call(&format!(
            "ip link add name {link} type veth peer name {CONTAINER_LINK} netns {}",
            container.pid()
        ))?;
        host.call(&format!("ip link set dev {link} master {BRIDGE} up"))?;
        host.call(&format!("ip addr add {} dev {BRIDGE} {}", pair.with_prefix(1), pair.flags()))?;
        host.call(&format!("ip link set dev {BRIDGE} up"))?;
        container.call(&format!(
            "ip addr add {} dev {CONTAINER_LINK} {}",
            pair.with_prefix(2),
            pair.flags()
        ))?;
        container.call(&format!("ip link set dev {CONTAINER_LINK} up"))?;
        if !path.delay.is_zero() {
            // On the way back, so that neither the limit nor the trace behind it is touched.
            host.call(&format!(
                "tc qdisc add dev {BRIDGE} root netem delay {}us limit 1000000",
                path.delay.as_micros()
            ))?;
        }
        Ok(pair)
    }

    /// The host's address with `port`.
    pub fn host_address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(1), port)
    }

    fn address(&self, number: u8) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::new(10, 99, 0, number).into(),
            Family::V6 => Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, number.into()).into(),
        }
    }

    fn with_prefix(&self, number: u8) -> String {
        let length = match self.family {
            Family::V4 => 24,
            Family::V6 => 64,
        };
        format!("{}/{length}", self.address(number))
    }

    /// Flags of an address: without duplicate detection an IPv6 one can be used at once.
    fn flags(&self) -> &'static str {
        match self.family {
            Family::V4 => "",
            Family::V6 => "nodad",
        }
    }
}
