//! A way out of the edge's namespace for a camera that is not on this machine.

use std::fs;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::netns;
use super::network::{NAMESPACE, Network, ip};
use super::rest::Lock;
use crate::machine::has_program;

/// The host's switch for routing between its links.
const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
/// The nftables table of the masquerade.
const TABLE: &str = "sluice_run_all";
/// How long a camera may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was changed on the host, enough to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarding {
    /// The run's subnet in CIDR notation.
    cidr: String,
    /// What the host's switch said before.
    switch: String,
    /// Whether nftables holds the rules, else iptables.
    nft: bool,
}

impl Forwarding {
    /// Takes the rules away and puts the switch back.
    pub fn undo(&self) {
        if self.nft {
            quiet("nft", &["delete", "table", "ip", TABLE]);
        } else {
            for rule in self.iptables("-D") {
                quiet("iptables", &rule.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        if let Err(error) = fs::write(SWITCH, &self.switch) {
            eprintln!("warning: cannot put {SWITCH} back to {}: {error}", self.switch.trim());
        }
    }

    fn apply(&self) -> Result<()> {
        fs::write(SWITCH, "1").with_context(|| format!("cannot write {SWITCH}"))?;
        if self.nft {
            let rules = format!(
                "add table ip {TABLE}; add chain ip {TABLE} out {{ type nat hook postrouting priority 100; }}; \
                 add rule ip {TABLE} out ip saddr {} masquerade",
                self.cidr
            );
            return command("nft", &[&rules]);
        }
        for rule in self.iptables("-I") {
            command("iptables", &rule.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// The rules, each to be inserted (`-I`) or deleted (`-D`). The two in FORWARD are for hosts whose policy
    /// there is to drop, as Docker sets it.
    fn iptables(&self, verb: &str) -> [Vec<String>; 3] {
        let rule = |words: &str| {
            words.replace("VERB", verb).replace("CIDR", &self.cidr).split(' ').map(str::to_owned).collect()
        };
        [
            rule("-t nat VERB POSTROUTING -s CIDR ! -d CIDR -j MASQUERADE"),
            rule("VERB FORWARD -s CIDR -j ACCEPT"),
            rule("VERB FORWARD -d CIDR -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ]
    }
}

/// Makes the camera at `url` reachable from the namespace, and gives the URL with its host name resolved (the
/// namespace has no name service).
///
/// # Errors
///
/// If the camera cannot be reached from the host, or not from the namespace.
pub fn reach(url: &str, network: &Network, lock: &mut Lock) -> Result<String> {
    let (before, host, port, after) = split(url)?;
    let address = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve the camera's host {host}"))?
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("the camera's host {host} has no IPv4 address"))?;
    let resolved = format!("{before}{address}{after}");
    ip(&["-netns", NAMESPACE, "route", "add", "default", "via", &network.gateway().to_string()])?;
    if connects(address).is_ok() {
        return Ok(resolved);
    }
    TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("the camera {address} does not answer on this machine's own network"))?;
    let nft = !has_program("iptables");
    if nft && !has_program("nft") {
        bail!("the camera {address} needs forwarding out of the namespace: install nftables or iptables");
    }
    let switch = fs::read_to_string(SWITCH).with_context(|| format!("cannot read {SWITCH}"))?;
    let forwarding = Forwarding { cidr: network.cidr(), switch, nft };
    lock.record(|rest| rest.forwarding = Some(forwarding.clone()))?;
    forwarding.apply()?;
    connects(address).with_context(|| {
        format!("the camera {address} cannot be reached from the edge's namespace, even forwarded")
    })?;
    Ok(resolved)
}

/// Connects to `address` from inside the namespace.
///
/// # Errors
///
/// If the connection is refused, filtered, or not routed.
pub fn connects(address: SocketAddr) -> Result<()> {
    netns::inside(NAMESPACE, || {
        TcpStream::connect_timeout(&address, PATIENCE).map(drop).context("no connection from the namespace")
    })
}

/// Splits an RTSP URL into what stands before the host, the host, the port, and what stands after.
fn split(url: &str) -> Result<(&str, &str, u16, &str)> {
    let wrong = || format!("{url} is not a camera's address: write rtsp://host[:port]/path");
    let scheme = url.find("://").with_context(wrong)? + 3;
    let end = url[scheme..].find('/').map_or(url.len(), |slash| scheme + slash);
    let begin = url[scheme..end].rfind('@').map_or(scheme, |at| scheme + at + 1);
    let (host, port) = match url[begin..end].rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().with_context(wrong)?),
        None => (&url[begin..end], 554),
    };
    if host.is_empty() {
        bail!(wrong());
    }
    Ok((&url[..begin], host, port, &url[end..]))
}

fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "`{program} {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn quiet(program: &str, arguments: &[&str]) {
    if let Err(error) = command(program, arguments) {
        eprintln!("warning: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        assert_eq!(split("rtsp://cam/1").unwrap(), ("rtsp://", "cam", 554, "/1"));
        assert_eq!(split("rtsp://u:p@cam:8554/a/b").unwrap(), ("rtsp://u:p@", "cam", 8554, "/a/b"));
        assert_eq!(split("rtsp://10.0.0.9").unwrap(), ("rtsp://", "10.0.0.9", 554, ""));
        for wrong in ["cam/1", "rtsp:///1", "rtsp://cam:x/1"] {
            assert!(split(wrong).is_err(), "{wrong} was taken");
        }
    }
}
