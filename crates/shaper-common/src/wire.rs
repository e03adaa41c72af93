//! How many bytes a packet takes on the wire, and what class of packet it is.
//!
//! The kernel hands a host-side program whole GSO packets: one set of headers and up to hundreds of segments, which
//! the device splits later. On the wire each segment carries its own headers, so they are counted from the packet
//! itself; the kernel's own `wire_len` leaves them out at a TC ingress up to Linux 6.18.

use crate::bucket::{Class, MAX_BYTES};

/// The longest frame that counts as small: pure ACKs, SYN, DNS questions, pings, RTCP.
pub const SMALL_BYTES: u32 = 128;

const ETHERNET: u32 = 14;
const VLAN: u32 = 4;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_QINQ: u16 = 0x88a8;
const IPV6: u32 = 40;
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
/// Router solicitation to redirect (RFC 4861, section 4).
const NEIGHBOUR_DISCOVERY: core::ops::RangeInclusive<u8> = 133..=137;
/// IPv6 extension headers that are walked; a bound for the kernel's verifier.
const MAX_EXTENSIONS: u32 = 4;
/// VLAN tags in the packet that are walked.
const MAX_TAGS: u32 = 2;

/// Read access to a packet, from its Ethernet header on.
pub trait Packet {
    /// The byte at `offset`, if the packet is that long.
    fn byte(&self, offset: u32) -> Option<u8>;

    /// The two bytes at `offset`, in network order.
    #[inline(always)]
    fn word(&self, offset: u32) -> Option<u16> {
        Some((u16::from(self.byte(offset)?) << 8) | u16::from(self.byte(offset + 1)?))
    }
}

impl Packet for [u8] {
    fn byte(&self, offset: u32) -> Option<u8> {
        self.get(offset as usize).copied()
    }
}

/// What the kernel knows of a packet without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// Length from the Ethernet header on, in bytes.
    pub len: u32,
    /// Segments; 0 and 1 both mean one, unless `gso_size` says otherwise.
    pub gso_segs: u32,
    /// Payload bytes of a full segment, 0 if not segmented.
    pub gso_size: u32,
    /// A VLAN tag that the kernel has taken out of the packet: four bytes more on the wire.
    pub tagged: bool,
}

/// What a packet costs and may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Bytes on the wire, overhead included: 1 to [`MAX_BYTES`].
    pub bytes: u32,
    /// Segments, at least 1.
    pub segments: u32,
    /// What the packet may do.
    pub class: Class,
}

/// Measures a packet; `overhead` is added for each segment.
///
/// A GSO packet of a tunnel is counted with its outer headers only.
#[inline(always)]
pub fn measure(packet: &(impl Packet + ?Sized), meta: Meta, overhead: i32) -> Measure {
    let tag = if meta.tagged { VLAN } else { 0 };
    let mut segments = meta.gso_segs;
    let mut bytes = meta.len + tag;
    let mut neighbour = false;
    if meta.gso_segs > 1 || meta.gso_size > 0 {
        let headers = headers(packet);
        if segments == 0 && meta.gso_size > 0 {
            // A packet from outside (a tap, another VM) may leave the count to the kernel, which does it later.
            segments = meta.len.saturating_sub(headers).div_ceil(meta.gso_size);
        }
        bytes = bytes.saturating_add(segments.saturating_sub(1).saturating_mul(headers + tag));
    } else if meta.len <= SMALL_BYTES {
        neighbour = is_neighbour(packet);
    }
    if segments == 0 {
        segments = 1;
    }
    let class = if neighbour {
        Class::Neighbour
    } else if bytes <= SMALL_BYTES {
        Class::Small
    } else {
        Class::Bulk
    };
    // A negative overhead could leave nothing, and a nonsensical one more than a `u32` holds.
    let bytes = (i64::from(bytes) + i64::from(segments) * i64::from(overhead)).clamp(1, i64::from(MAX_BYTES));
    Measure { bytes: bytes as u32, segments, class }
}

/// Length of the headers that every segment repeats: Ethernet with VLAN tags, IP, TCP or UDP. What cannot be read
/// counts as nothing.
#[inline(always)]
pub fn headers(packet: &(impl Packet + ?Sized)) -> u32 {
    let (network, ethertype) = network(packet);
    match ethertype {
        TYPE_IPV4 => {
            let ihl = u32::from(packet.byte(network).unwrap_or(0) & 0x0f) * 4;
            network + ihl + transport_len(packet, network + ihl, packet.byte(network + 9).unwrap_or(0))
        }
        TYPE_IPV6 => {
            let (transport, protocol) = ipv6_transport(packet, network);
            transport + transport_len(packet, transport, protocol)
        }
        _ => network,
    }
}

/// ARP, or IPv6 neighbour discovery (which is sent without extension headers).
#[inline(always)]
fn is_neighbour(packet: &(impl Packet + ?Sized)) -> bool {
    match network(packet) {
        (_, TYPE_ARP) => true,
        (network, TYPE_IPV6) => {
            packet.byte(network + 6) == Some(ICMPV6)
                && packet.byte(network + IPV6).is_some_and(|kind| NEIGHBOUR_DISCOVERY.contains(&kind))
        }
        _ => false,
    }
}

/// Offset of the network header, and the EtherType that says which.
#[inline(always)]
fn network(packet: &(impl Packet + ?Sized)) -> (u32, u16) {
    let mut offset = ETHERNET;
    let mut ethertype = packet.word(offset - 2).unwrap_or(0);
    let mut tags = 0;
    while tags < MAX_TAGS && (ethertype == TYPE_VLAN || ethertype == TYPE_QINQ) {
        offset += VLAN;
        ethertype = packet.word(offset - 2).unwrap_or(0);
        tags += 1;
    }
    (offset, ethertype)
}

/// Offset of the transport header behind IPv6's extension headers, and its protocol.
#[inline(always)]
fn ipv6_transport(packet: &(impl Packet + ?Sized), network: u32) -> (u32, u8) {
    let mut offset = network + IPV6;
    let mut protocol = packet.byte(network + 6).unwrap_or(0xff);
    let mut walked = 0;
    while walked < MAX_EXTENSIONS && matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
        protocol = packet.byte(offset).unwrap_or(0xff);
        offset += (u32::from(packet.byte(offset + 1).unwrap_or(0)) + 1) * 8;
        walked += 1;
    }
    (offset, protocol)
}

#[inline(always)]
fn transport_len(packet: &(impl Packet + ?Sized), offset: u32, protocol: u8) -> u32 {
    match protocol {
        TCP => u32::from(packet.byte(offset + 12).unwrap_or(0) >> 4) * 4,
        UDP => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
