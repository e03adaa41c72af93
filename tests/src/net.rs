//! Network namespaces joined to this one by a veth pair; removed when dropped.

use std::{fs::File, net::TcpListener, os::fd::AsFd as _, process::Command, thread};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

/// A network namespace whose `eth0` is the far end of a veth pair. The near end is the port of a bridge, as a
/// container engine does it, so that the bridge sees exactly what passed a limit on the port.
pub struct Network {
    tag: String,
    subnet: u8,
}

impl Network {
    /// Makes the namespace `t-<tag>`, the bridge `tb-<tag>` with 10.78.`subnet`.1/24, the port `tv-<tag>`, and
    /// `eth0` with 10.78.`subnet`.2/24 in the namespace.
    ///
    /// # Errors
    ///
    /// Not root, or the kernel lacks veth, bridges or namespaces; what was made is removed again.
    pub fn new(tag: &str, subnet: u8) -> Result<Self> {
        let network = Self { tag: tag.into(), subnet };
        let (namespace, bridge, port) = (network.namespace(), network.bridge(), network.port());
        // A rest of a killed test run would be in the way.
        network.remove();
        for command in [
            format!("netns add {namespace}"),
            format!("link add {bridge} type bridge"),
            format!("link add {port} type veth peer name eth0 netns {namespace}"),
            format!("link set {port} master {bridge}"),
            format!("addr add 10.78.{subnet}.1/24 dev {bridge}"),
            format!("link set {bridge} up"),
            format!("link set {port} up"),
            format!("-n {namespace} addr add 10.78.{subnet}.2/24 dev eth0"),
            format!("-n {namespace} link set lo up"),
            format!("-n {namespace} link set eth0 up"),
        ] {
            ip(&command)?;
        }
        Ok(network)
    }

    /// The namespace's name.
    pub fn namespace(&self) -> String {
        format!("t-{}", self.tag)
    }

    /// The bridge on this side.
    pub fn bridge(&self) -> String {
        format!("tb-{}", self.tag)
    }

    /// The veth end on this side.
    pub fn port(&self) -> String {
        format!("tv-{}", self.tag)
    }

    /// The address in the namespace.
    #[must_use]
    pub fn inside(&self) -> String {
        format!("10.78.{}.2", self.subnet)
    }

    /// A listener in the namespace, on a port that is free.
    ///
    /// # Errors
    ///
    /// The namespace is gone.
    pub fn listen(&self) -> Result<TcpListener> {
        let namespace = File::open(format!("/run/netns/{}", self.namespace()))?;
        let address = (self.inside(), 0);
        // A thread of its own, since a thread stays where it has entered.
        let listening = thread::spawn(move || -> Result<TcpListener> {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(TcpListener::bind(address)?)
        });
        listening.join().unwrap_or_else(|_| bail!("the thread in the namespace failed"))
    }

    /// Bytes that passed from the namespace to this side, Ethernet headers included.
    ///
    /// # Errors
    ///
    /// The bridge is gone.
    pub fn passed_bytes(&self) -> Result<u64> {
        let counter = |name: &str| -> Result<u64> {
            let path = format!("/sys/class/net/{}/statistics/{name}", self.bridge());
            std::fs::read_to_string(&path).with_context(|| path.clone())?.trim().parse().context(path)
        };
        // A bridge counts what it hands to the stack, after the 14 bytes of the Ethernet header.
        Ok(counter("rx_bytes")? + 14 * counter("rx_packets")?)
    }

    fn remove(&self) {
        // Each may be missing: then there is nothing to remove.
        let _ = ip(&format!("link del {}", self.port()));
        let _ = ip(&format!("link del {}", self.bridge()));
        let _ = ip(&format!("netns del {}", self.namespace()));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

pub(crate) fn ip(arguments: &str) -> Result<()> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().context("run ip (package iproute2)")?;
    if !output.status.success() {
        bail!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
