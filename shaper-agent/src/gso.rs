//! Keeps the container from sending packets that are too long for the rate.
//!
//! A container's TCP hands its veth up to 64 kB at once, and a program on the host side cannot split them: at
//! 64 kbit/s that is eight seconds of the rate in one burst. So the longest packet that the container's end takes is
//! lowered, from the host (the container's root could raise it again; the rate holds nevertheless, only the
//! bursts grow). The kernel then splits longer packets before they reach the veth.
//!
//! `RTM_SETLINK` has no attribute for "in that namespace" (`IFLA_TARGET_NETNSID` would *move* the interface there),
//! so a thread enters the namespace for the one call.

use std::{fs::File, io, time::Duration};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use shaper_common::units::{Rate, Size};

use crate::{
    interface::{self, Peer},
    netlink,
    netns::{self, Namespaces},
    record::Gso,
    spec::Mode,
};

/// What TCP sends at once where nothing limits it.
pub(crate) const UNLIMITED: u64 = 65_536;

/// Into how many packets a burst can be divided at least.
const SHAPE_SHARE: u64 = 4;
const POLICE_SHARE: u64 = 12;
/// The longest packet when policing, in segments. What is policed is dropped as a whole; and BBR measures the rate
/// between two drops, the more exactly the shorter the packets are.
const POLICE_SEGMENTS: u64 = 16;
/// Where what TCP sends at once takes less than this, long packets do not matter any more, but the work of cutting them up
/// does.
const SHORT: Duration = Duration::from_millis(1);

/// The segments that one packet may hold so that it takes but a share of the burst; none if it needs no cap.
pub(crate) fn segments(mode: Mode, rate: Rate, burst: Size, frame: Size) -> Option<u32> {
    let bytes = match mode {
        Mode::Shape => burst.bytes() / SHAPE_SHARE,
        Mode::Auto | Mode::Police => {
            let share = burst.bytes() / POLICE_SHARE;
            if rate.bytes_in(SHORT) < UNLIMITED { share.min(POLICE_SEGMENTS * frame.bytes()) } else { share }
        }
    };
    (bytes < UNLIMITED).then(|| u32::try_from(bytes / frame.bytes().max(1)).unwrap_or(u32::MAX).max(1))
}

/// Lowers the limit of the veth's other end; does nothing where it is as low already.
///
/// # Errors
///
/// The namespace is not found, or the kernel refuses.
pub(crate) fn lower(namespaces: &Namespaces, peer: Peer, segments: u32) -> io::Result<Option<Gso>> {
    let namespace = peer.namespace.map(|id| namespaces.find(id)).transpose()?;
    let before = inside(namespace.as_ref(), || {
        let link = interface::link(peer.index)?;
        let before = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::GsoMaxSegs(segments) => Some(*segments),
            _ => None,
        });
        let before = before.ok_or_else(|| io::Error::other("the kernel names no IFLA_GSO_MAX_SEGS"))?;
        if before > segments {
            set_segments(peer.index, segments)?;
        }
        Ok(before)
    })?;
    let lowered = Gso { peer: peer.index, namespace: peer.namespace, before, segments };
    Ok((before > segments).then_some(lowered))
}

/// Puts another limit in the place of the one that [`lower`] has set.
pub(crate) fn change(namespaces: &Namespaces, gso: &Gso, segments: u32) -> io::Result<()> {
    let namespace = gso.namespace.map(|id| namespaces.find(id)).transpose()?;
    match inside(namespace.as_ref(), || set_segments(gso.peer, segments)) {
        // A container that is gone needs nothing.
        Err(error) if error.raw_os_error() == Some(nix::Error::ENODEV as i32) => Ok(()),
        result => result,
    }
}

fn inside<T: Send>(namespace: Option<&File>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    match namespace {
        Some(namespace) => netns::run_in(namespace, work),
        None => work(),
    }
}

fn set_segments(index: u32, segments: u32) -> io::Result<()> {
    let mut order = LinkMessage::default();
    order.header.index = index;
    order.attributes.push(LinkAttribute::GsoMaxSegs(segments));
    netlink::request(RouteNetlinkMessage::SetLink(order)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_follows_rate_and_burst() {
        let at = |mode, rate: &str, burst: u64| {
            segments(mode, rate.parse().unwrap(), Size::from_bytes(burst), Size::from_bytes(1514))
        };
        assert_eq!(at(Mode::Shape, "64kbit", 3028), Some(1));
        assert_eq!(at(Mode::Shape, "1mbit", 62_500), Some(10));
        assert_eq!(at(Mode::Shape, "50mbit", 262_143), Some(43));
        assert_eq!(at(Mode::Shape, "50mbit", 262_144), None);
        assert_eq!(at(Mode::Police, "64kbit", 15_140), Some(1));
        assert_eq!(at(Mode::Police, "1mbit", 62_500), Some(3));
        assert_eq!(at(Mode::Police, "100mbit", 6_250_000), Some(16));
        assert_eq!(at(Mode::Police, "1gbit", 62_500_000), None);
        assert_eq!(at(Mode::Police, "1gbit", 62_500), Some(3));
    }
}
