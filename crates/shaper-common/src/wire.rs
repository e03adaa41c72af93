//! How many bytes a packet takes on the wire, what class of packet it is, and which flow it belongs to.
//!
//! The kernel hands a host-side program whole GSO packets: one set of headers and up to hundreds of segments, which
//! the device splits later. On the wire each segment carries its own headers, so they are counted from the packet
//! itself; the kernel's own `wire_len` leaves them out at a TC ingress up to Linux 6.18.

use crate::bucket::MAX_BYTES;

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
/// TCP's FIN flag.
const FIN: u8 = 1;
/// TCP's SYN flag.
const SYN: u8 = 2;

/// Read access to a packet, from the first header that the hook shows.
pub trait Packet {
    /// The `N` pairs of bytes at `offset` as they are in memory, if the packet is that long. Pairs, because headers
    /// begin at even offsets, and the kernel's verifier and the BPF target like aligned loads.
    fn load<const N: usize>(&self, offset: u32) -> Option<Pairs<N>>;
}

impl Packet for [u8] {
    fn load<const N: usize>(&self, offset: u32) -> Option<Pairs<N>> {
        let bytes = self.get(offset as usize..)?.get(..2 * N)?;
        Some(Pairs(core::array::from_fn(|pair| u16::from_ne_bytes([bytes[2 * pair], bytes[2 * pair + 1]]))))
    }
}

/// Bytes of a packet, two by two, in memory order.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<const N: usize>(pub [u16; N]);

impl<const N: usize> Pairs<N> {
    /// The byte at `offset`.
    #[inline(always)]
    fn byte(&self, offset: usize) -> u8 {
        self.0[offset / 2].to_ne_bytes()[offset % 2]
    }

    /// The two bytes at an even `offset` as a number.
    #[inline(always)]
    fn word(&self, offset: usize) -> u16 {
        u16::from_be(self.0[offset / 2])
    }

    /// The four bytes at an even `offset`, in any fixed order.
    #[inline(always)]
    fn quad(&self, offset: usize) -> u32 {
        u32::from(self.0[offset / 2]) << 16 | u32::from(self.0[offset / 2 + 1])
    }
}

/// Where a packet's network header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its offset.
    pub network: u32,
    /// Which protocol's it is.
    pub ethertype: u16,
    /// Bytes of the link's header that the hook does not show.
    pub hidden: u32,
}

impl Frame {
    /// Of a packet that begins with its Ethernet header.
    #[inline(always)]
    pub fn ethernet(packet: &(impl Packet + ?Sized)) -> Self {
        let mut network = ETHERNET;
        let mut ethertype = packet.load::<1>(network - 2).map_or(0, |pair| pair.word(0));
        let mut tags = 0;
        while tags < MAX_TAGS && (ethertype == TYPE_VLAN || ethertype == TYPE_QINQ) {
            network += VLAN;
            ethertype = packet.load::<1>(network - 2).map_or(0, |pair| pair.word(0));
            tags += 1;
        }
        Self { network, ethertype, hidden: 0 }
    }

    /// Of a packet that begins with its network header and will get an Ethernet header.
    #[inline(always)]
    #[must_use]
    pub fn network(ethertype: u16) -> Self {
        Self { network: 0, ethertype, hidden: ETHERNET }
    }
}

/// What the kernel knows of a packet without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// Length from the first header that the hook shows, in bytes.
    pub len: u32,
    /// Segments; 0 and 1 both mean one, unless `gso_size` says otherwise.
    pub gso_segs: u32,
    /// Payload bytes of a full segment, 0 if not segmented.
    pub gso_size: u32,
    /// A VLAN tag that the kernel has taken out of the packet: four bytes more on the wire.
    pub tagged: bool,
    /// Zero, where the kernel's verifier cannot know it: it then forgets which headers the packet has when it checks what
    /// follows from them.
    pub zero: u32,
}

/// What a packet is, in bits: tests of single bits keep the kernel's verifier from following every combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kind(pub u32);

impl Kind {
    /// A single packet of at most [`SMALL_BYTES`]: may go before bulk.
    pub const SMALL: u32 = 1;
    /// A small packet that must not overtake its own flow: TCP with payload, or the end of a connection.
    pub const IN_ORDER: u32 = 1 << 1;
    /// ARP or IPv6 neighbour discovery, without which the address is lost: always passes.
    pub const NEIGHBOUR: u32 = 1 << 2;
    /// A congestion mark may take the place of a drop (RFC 3168: ECT or CE in the IP header).
    pub const ECN: u32 = 1 << 3;
    /// IP without a VLAN tag in its bytes: the kernel gives no other packet a departure time.
    pub const SCHEDULABLE: u32 = 1 << 4;
    /// TCP: its sender may be told how fast to go.
    pub const TCP: u32 = 1 << 5;
    /// The first packet of a TCP connection, in its direction.
    pub const OPENING: u32 = 1 << 6;

    /// Whether the packet is all that `bits` say.
    #[inline(always)]
    #[must_use]
    pub const fn is(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

/// What a packet costs and may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Bytes on the wire, overhead included: 1 to [`MAX_BYTES`].
    pub bytes: u32,
    /// Segments, at least 1.
    pub segments: u32,
    /// What the packet is.
    pub kind: Kind,
    /// The flow: a hash of addresses, protocol and ports.
    pub flow: u32,
}

/// What the headers say.
struct Headers {
    /// Their length, which every segment repeats: Ethernet with VLAN tags, IP, TCP or UDP. What cannot be read
    /// counts as nothing.
    len: u32,
    flow: u32,
    kind: u32,
}

/// Measures a packet; `overhead` is added for each segment.
///
/// A GSO packet of a tunnel is counted with its outer headers only.
#[inline(always)]
pub fn measure(packet: &(impl Packet + ?Sized), frame: Frame, meta: Meta, overhead: i32) -> Measure {
    let Headers { len, flow, kind } = headers(packet, frame, meta.len);
    let forget = |value: u32| value.wrapping_add(meta.zero);
    let (headers, flow, kind) = (forget(len), forget(flow), forget(kind));
    let outside = frame.hidden + if meta.tagged { VLAN } else { 0 };
    let mut segments = meta.gso_segs;
    let mut bytes = meta.len + outside;
    let gso = meta.gso_segs > 1 || meta.gso_size > 0;
    if gso {
        if segments == 0 && meta.gso_size > 0 {
            // A packet from outside (a tap, another VM) may leave the count to the kernel, which does it later.
            segments = meta.len.saturating_sub(headers).div_ceil(meta.gso_size);
        }
        bytes =
            bytes.saturating_add(segments.saturating_sub(1).saturating_mul(headers.saturating_add(outside)));
    }
    if segments == 0 {
        segments = 1;
    }
    let mut kind = kind;
    if gso || bytes > SMALL_BYTES {
        kind &= !(Kind::NEIGHBOUR | Kind::IN_ORDER);
    } else {
        kind |= Kind::SMALL;
    }
    // A negative overhead could leave nothing, and a nonsensical one more than a `u32` holds.
    let bytes = (i64::from(bytes) + i64::from(segments) * i64::from(overhead)).clamp(1, i64::from(MAX_BYTES));
    Measure { bytes: bytes as u32, segments, kind: Kind(kind), flow }
}

#[inline(always)]
fn headers(packet: &(impl Packet + ?Sized), frame: Frame, len: u32) -> Headers {
    let Frame { network, ethertype, hidden: _ } = frame;
    let nothing = Headers {
        len: network,
        flow: hash(0, 0, u32::from(ethertype), 0),
        kind: if ethertype == TYPE_ARP { Kind::NEIGHBOUR } else { 0 },
    };
    match ethertype {
        TYPE_IPV4 => ipv4(packet, network, len).unwrap_or(nothing),
        TYPE_IPV6 => ipv6(packet, network, len).unwrap_or(nothing),
        _ => nothing,
    }
}

#[inline(always)]
fn ipv4(packet: &(impl Packet + ?Sized), network: u32, len: u32) -> Option<Headers> {
    let ip = packet.load::<10>(network)?;
    let transport = network + u32::from(ip.byte(0) & 0x0f) * 4;
    // More fragments, or not the first: ports are in the first fragment only, and all must go to one flow.
    let fragment = ip.word(6) & 0x3fff != 0;
    let protocol = if fragment { 0 } else { ip.byte(9) };
    let end = network + u32::from(ip.word(2));
    let upper = upper(packet, transport, protocol, if end < len { end } else { len });
    Some(Headers {
        len: transport + upper.len,
        flow: hash(ip.quad(12), ip.quad(16), upper.ports, ip.byte(9)),
        kind: upper.kind | ecn(ip.byte(1)) | schedulable(network),
    })
}

#[inline(always)]
fn ipv6(packet: &(impl Packet + ?Sized), network: u32, len: u32) -> Option<Headers> {
    let ip = packet.load::<20>(network)?;
    let mut transport = network + IPV6;
    let mut protocol = ip.byte(6);
    let mut walked = 0;
    while walked < MAX_EXTENSIONS && matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
        let extension = packet.load::<1>(transport).unwrap_or(Pairs([0]));
        protocol = extension.byte(0);
        transport += (u32::from(extension.byte(1)) + 1) * 8;
        walked += 1;
    }
    let end = network + IPV6 + u32::from(ip.word(4));
    let upper = upper(packet, transport, protocol, if end < len { end } else { len });
    let fold = |at: usize| {
        let network = ip.quad(at) ^ ip.quad(at + 4).rotate_left(7);
        network ^ ip.quad(at + 8).rotate_left(13) ^ ip.quad(at + 12)
    };
    Some(Headers {
        len: transport + upper.len,
        flow: hash(fold(8), fold(24), upper.ports, protocol),
        kind: upper.kind | ecn(ip.byte(1) >> 4) | schedulable(network),
    })
}

#[inline(always)]
const fn ecn(bits: u8) -> u32 {
    if bits & 3 == 0 { 0 } else { Kind::ECN }
}

#[inline(always)]
const fn schedulable(network: u32) -> u32 {
    if network > ETHERNET { 0 } else { Kind::SCHEDULABLE }
}

/// What the header above IP says.
struct Upper {
    len: u32,
    ports: u32,
    kind: u32,
}

/// Reads the transport header at `offset`; the IP packet ends at `end`.
#[inline(always)]
fn upper(packet: &(impl Packet + ?Sized), offset: u32, protocol: u8, end: u32) -> Upper {
    let mut upper = Upper { len: 0, ports: 0, kind: 0 };
    match protocol {
        TCP => {
            if let Some(tcp) = packet.load::<7>(offset) {
                upper.kind = Kind::TCP;
                upper.len = u32::from(tcp.byte(12) >> 4) * 4;
                upper.ports = tcp.quad(0);
                if tcp.byte(13) & SYN != 0 {
                    upper.kind |= Kind::OPENING;
                }
                if tcp.byte(13) & FIN != 0 || offset + upper.len < end {
                    upper.kind |= Kind::IN_ORDER;
                }
            }
        }
        UDP => {
            upper.len = 8;
            upper.ports = packet.load::<2>(offset).map_or(0, |ports| ports.quad(0));
        }
        // Neighbour discovery is sent without extension headers, but its class is not worth a check of that.
        ICMPV6 => {
            let kind = packet.load::<1>(offset).map_or(0, |icmp| icmp.byte(0));
            if NEIGHBOUR_DISCOVERY.contains(&kind) {
                upper.kind = Kind::NEIGHBOUR;
            }
        }
        _ => {}
    }
    upper
}

/// Mixes addresses, ports and protocol: two multiplications by odd constants of high entropy (those of MurmurHash3's
/// 64-bit finaliser), each followed by a fold of the upper half onto the lower one.
#[inline(always)]
fn hash(source: u32, destination: u32, ports: u32, protocol: u8) -> u32 {
    let mut mixed = u64::from(source) << 32 | u64::from(destination);
    mixed = (mixed ^ (mixed >> 33) ^ u64::from(protocol)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33) ^ u64::from(ports)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests;
