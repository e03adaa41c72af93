//! A network interface as the kernel describes it.

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use nix::net::if_::{if_indextoname, if_nametoindex};

use crate::{error::AgentError, netlink, spec::Direction};

/// What the agent needs to know of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its name when it was found.
    pub(crate) name: String,
    /// The kernel's number, which stays when the name changes.
    pub(crate) index: u32,
    /// The longest IP packet, in bytes.
    pub(crate) mtu: u32,
    /// The longest GSO packet that it takes for sending, in segments.
    pub(crate) gso_max_segs: Option<u32>,
    /// The other end, if it is a veth.
    pub(crate) peer: Option<Peer>,
}

/// The other end of a veth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its number in its own namespace.
    pub(crate) index: u32,
    /// Its namespace, as this one numbers it; none if it is the same.
    pub(crate) namespace: Option<i32>,
}

impl Interface {
    /// Looks an interface up by name in this network namespace.
    ///
    /// # Errors
    ///
    /// There is none, or the kernel does not say.
    pub(crate) fn find(name: &str) -> Result<Self, AgentError> {
        let index = if_nametoindex(name).map_err(|_| AgentError::NoInterface(name.to_owned()))?;
        let link = link(index).map_err(|source| match source.raw_os_error() {
            Some(code) if code == nix::Error::ENODEV as i32 => AgentError::NoInterface(name.to_owned()),
            _ => AgentError::Netlink { action: format!("read the settings of `{name}`"), source },
        })?;
        Ok(Self::describe(name, index, &link))
    }

    fn describe(name: &str, index: u32, link: &LinkMessage) -> Self {
        let mut interface = Self { name: name.to_owned(), index, mtu: 1500, gso_max_segs: None, peer: None };
        let (mut peer, mut namespace) = (None, None);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                LinkAttribute::GsoMaxSegs(segments) => interface.gso_max_segs = Some(*segments),
                LinkAttribute::Link(index) => peer = Some(*index),
                LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
                _ => {}
            }
        }
        interface.peer = peer.filter(|index| *index != 0).map(|index| Peer { index, namespace });
        interface
    }

    /// What is known of an interface by its number alone: its name, which may have changed since it was found. None if
    /// it is gone.
    pub(crate) fn numbered(index: u32) -> Option<Self> {
        let name = if_indextoname(index).ok()?.into_string().ok()?;
        // nix 0.31 takes the C function's null pointer, which means that there is none, for success.
        (!name.is_empty()).then_some(Self { name, index, mtu: 1500, gso_max_segs: None, peer: None })
    }
}

impl Interface {
    /// Packets that the interface has counted in a direction, as the container sees it.
    pub(crate) fn packets(&self, direction: Direction) -> Option<u64> {
        self.counted(direction).map(|(packets, _)| packets)
    }

    /// Bytes that it has counted in a direction; of a segmented packet with one set of headers.
    pub(crate) fn bytes(&self, direction: Direction) -> Option<u64> {
        self.counted(direction).map(|(_, bytes)| bytes)
    }

    fn counted(&self, direction: Direction) -> Option<(u64, u64)> {
        let link = link(self.index).ok()?;
        link.attributes.iter().find_map(|attribute| match (attribute, direction) {
            (LinkAttribute::Stats64(stats), Direction::Upload) => Some((stats.rx_packets, stats.rx_bytes)),
            (LinkAttribute::Stats64(stats), Direction::Download) => Some((stats.tx_packets, stats.tx_bytes)),
            _ => None,
        })
    }
}

/// The kernel's description of an interface in the calling thread's namespace.
pub(crate) fn link(index: u32) -> std::io::Result<LinkMessage> {
    let mut question = LinkMessage::default();
    question.header.index = index;
    let answers = netlink::request(RouteNetlinkMessage::GetLink(question))?;
    answers
        .into_iter()
        .find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
}
