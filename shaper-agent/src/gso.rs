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
    netlink, netns,
};

/// The time that the longest packet may take at the rate.
const LONGEST: Duration = Duration::from_millis(5);
/// What TCP sends at once where nothing limits it.
const UNLIMITED: u64 = 65_536;

/// The segments that one packet may hold at a rate; none if it needs no cap.
pub(crate) fn segments(rate: Rate, frame: Size) -> Option<u32> {
    let bytes = rate.bytes_in(LONGEST);
    (bytes < UNLIMITED).then(|| u32::try_from(bytes / frame.bytes().max(1)).unwrap_or(u32::MAX).max(1))
}

/// A lowered limit, and what it was before.
#[derive(Debug)]
pub(crate) struct GsoCap {
    namespace: Option<File>,
    index: u32,
    before: u32,
    /// The segments that a packet may hold now.
    pub(crate) segments: u32,
}

impl GsoCap {
    /// Lowers the peer's limit; does nothing where it is as low already.
    ///
    /// # Errors
    ///
    /// The namespace is not found, or the kernel refuses.
    pub(crate) fn set(peer: Peer, segments: u32) -> io::Result<Option<Self>> {
        let namespace = peer.namespace.map(netns::find).transpose()?;
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
        Ok((before > segments).then_some(Self { namespace, index: peer.index, before, segments }))
    }

    /// Puts back what was before. A container that is gone needs nothing.
    pub(crate) fn restore(self) -> io::Result<()> {
        let Self { namespace, index, before, segments: _ } = self;
        match inside(namespace.as_ref(), || set_segments(index, before)) {
            Err(error) if error.raw_os_error() == Some(nix::Error::ENODEV as i32) => Ok(()),
            result => result,
        }
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
    fn the_cap_follows_the_rate() {
        let at = |rate: &str| segments(rate.parse().unwrap(), Size::from_bytes(1514));
        assert_eq!(at("64kbit"), Some(1));
        assert_eq!(at("10mbit"), Some(4));
        assert_eq!(at("100mbit"), Some(41));
        assert_eq!(at("1gbit"), None);
    }
}
