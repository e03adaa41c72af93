extern crate std;

use std::{vec, vec::Vec};

use super::*;

fn whole_packet(packet: &[u8], meta: Meta, overhead: i32) -> Measure {
    measure(packet, Frame::ethernet(packet), meta, overhead)
}

/// Ethernet, tags, then what follows, padded with zeroes to `len`.
fn frame(tags: &[u16], ethertype: u16, rest: &[u8], len: usize) -> Vec<u8> {
    let mut packet = vec![0; 12];
    for tag in tags {
        packet.extend(tag.to_be_bytes());
        packet.extend([0, 7]);
    }
    packet.extend(ethertype.to_be_bytes());
    packet.extend(rest);
    packet.resize(len.max(packet.len()), 0);
    packet
}

fn ipv4(protocol: u8, options: usize, tcp_words: u8) -> Vec<u8> {
    let mut header = vec![0; 20 + options];
    header[0] = 0x40 | (5 + options as u8 / 4);
    header[9] = protocol;
    header.extend([0; 12]);
    header.push(tcp_words << 4);
    header
}

fn ipv6(chain: &[u8], tcp_words: u8) -> Vec<u8> {
    let mut header = vec![0; 40];
    header[0] = 0x60;
    header[6] = chain[0];
    for next in &chain[1..] {
        header.extend([*next, 0, 0, 0, 0, 0, 0, 0]);
    }
    header.extend([0; 12]);
    header.push(tcp_words << 4);
    header
}

#[test]
fn headers_of_every_kind() {
    let cases: &[(&str, Vec<u8>, u32)] = &[
        ("tcp with timestamps", frame(&[], TYPE_IPV4, &ipv4(TCP, 0, 8), 100), 66),
        ("tcp bare", frame(&[], TYPE_IPV4, &ipv4(TCP, 0, 5), 100), 54),
        ("ip options", frame(&[], TYPE_IPV4, &ipv4(TCP, 8, 5), 100), 62),
        ("udp", frame(&[], TYPE_IPV4, &ipv4(UDP, 0, 0), 100), 42),
        ("one tag", frame(&[TYPE_VLAN], TYPE_IPV4, &ipv4(UDP, 0, 0), 100), 46),
        ("two tags", frame(&[TYPE_QINQ, TYPE_VLAN], TYPE_IPV4, &ipv4(UDP, 0, 0), 100), 50),
        ("ipv6 tcp", frame(&[], TYPE_IPV6, &ipv6(&[TCP], 8), 120), 86),
        ("ipv6 extensions", frame(&[], TYPE_IPV6, &ipv6(&[HOP_BY_HOP, DESTINATION, UDP], 0), 140), 78),
        ("other protocol", frame(&[], TYPE_IPV4, &ipv4(47, 0, 0), 100), 34),
        ("no ip", frame(&[], 0x88cc, &[], 60), 14),
        ("cut off", vec![0; 5], 14),
    ];
    for (name, packet, expected) in cases {
        assert_eq!(
            super::headers(packet.as_slice(), Frame::ethernet(packet.as_slice()), 4096).len,
            *expected,
            "{name}"
        );
    }
}

#[test]
fn every_segment_pays_for_its_headers() {
    let packet = frame(&[], TYPE_IPV4, &ipv4(TCP, 0, 8), 100);
    let whole = |segments: u32, size: u32| Meta {
        len: 66 + segments * size,
        gso_segs: segments,
        gso_size: size,
        tagged: false,
        zero: 0,
    };
    let measured = whole_packet(packet.as_slice(), whole(7, 1448), 0);
    assert_eq!(measured.bytes, 7 * 1514);
    assert_eq!(measured.segments, 7);
    assert!(!measured.kind.is(Kind::SMALL));
    assert_eq!(whole_packet(packet.as_slice(), whole(7, 1448), 24).bytes, 7 * (1514 + 24));
    assert_eq!(whole_packet(packet.as_slice(), Meta { tagged: true, ..whole(7, 1448) }, 0).bytes, 7 * 1518);
    // The count is left out: it follows from the lengths, the last segment being shorter.
    let uncounted = Meta { len: 66 + 6 * 1448 + 10, gso_segs: 0, gso_size: 1448, tagged: false, zero: 0 };
    assert_eq!(whole_packet(packet.as_slice(), uncounted, 0).bytes, 6 * 1514 + 66 + 10);
    // Small segments are not small packets.
    assert!(!whole_packet(packet.as_slice(), whole(2, 20), 0).kind.is(Kind::SMALL));
}

#[test]
fn single_packets_cost_their_length() {
    let packet = frame(&[], TYPE_IPV4, &ipv4(TCP, 0, 8), 200);
    let measured = |len, overhead| whole_packet(packet.as_slice(), Meta { len, ..Meta::default() }, overhead);
    assert_eq!((measured(66, 0).bytes, measured(66, 0).segments), (66, 1));
    assert!(measured(128, 0).kind.is(Kind::SMALL));
    assert!(!measured(129, 0).kind.is(Kind::SMALL));
    // The kind is the frame's, whatever the uplink adds.
    assert_eq!(measured(128, 40).bytes, 168);
    assert!(measured(128, 40).kind.is(Kind::SMALL));
    assert_eq!(measured(66, -100).bytes, 1);
    assert_eq!(measured(1514, i32::MAX).bytes, MAX_BYTES);
}

/// The kind of a packet that is all there.
fn kind(packet: &[u8]) -> Kind {
    whole_packet(packet, Meta { len: packet.len() as u32, ..Meta::default() }, 0).kind
}

#[test]
fn neighbour_discovery_is_known() {
    let icmp = |kind: u8| {
        let mut header = vec![0; 40];
        header[6] = ICMPV6;
        header.push(kind);
        header
    };
    assert!(kind(&frame(&[], TYPE_ARP, &[], 42)).is(Kind::NEIGHBOUR));
    assert!(kind(&frame(&[TYPE_VLAN], TYPE_ARP, &[], 46)).is(Kind::NEIGHBOUR));
    assert!(kind(&frame(&[], TYPE_IPV6, &icmp(135), 86)).is(Kind::NEIGHBOUR));
    assert!(!kind(&frame(&[], TYPE_IPV6, &icmp(128), 86)).is(Kind::NEIGHBOUR));
    assert!(kind(&frame(&[], TYPE_IPV6, &icmp(128), 86)).is(Kind::SMALL));
    // Nobody carries data past the limit by calling it ARP.
    assert_eq!(kind(&frame(&[], TYPE_ARP, &[], 1514)), Kind(0));
}

/// A TCP packet of 66 bytes and payload, whose IP header tells the length as it does on a real network.
fn tcp(payload: usize, flags: u8) -> Vec<u8> {
    let mut packet = frame(&[], TYPE_IPV4, &ipv4(TCP, 0, 8), 66 + payload);
    packet[16..18].copy_from_slice(&((52 + payload) as u16).to_be_bytes());
    packet[47] = flags;
    packet
}

#[test]
fn payload_keeps_its_order_and_acknowledgements_do_not() {
    const ACK: u8 = 0x10;
    assert!(!kind(&tcp(0, ACK)).is(Kind::IN_ORDER));
    assert!(kind(&tcp(1, ACK)).is(Kind::IN_ORDER | Kind::TCP));
    assert!(kind(&tcp(0, ACK | FIN)).is(Kind::IN_ORDER));
    // Short frames are padded, and padding is no payload.
    let mut padded = tcp(0, ACK);
    padded.extend([0; 6]);
    assert!(!kind(&padded).is(Kind::IN_ORDER));
    assert!(!kind(&tcp(0, ACK)).is(Kind::OPENING) && kind(&tcp(0, SYN | ACK)).is(Kind::OPENING));
    // A long packet keeps its order anyway.
    assert!(!kind(&tcp(1400, ACK)).is(Kind::IN_ORDER) && kind(&tcp(1400, ACK)).is(Kind::TCP));
}

#[test]
fn what_the_kernel_can_schedule_and_mark() {
    let with_ecn = |bits: u8| {
        let mut packet = tcp(100, 0);
        packet[15] = bits;
        packet
    };
    for (bits, marks) in [(0, false), (1, true), (2, true), (3, true), (0xfc, false)] {
        assert_eq!(kind(&with_ecn(bits)).is(Kind::ECN), marks, "{bits}");
    }
    assert!(kind(&tcp(100, 0)).is(Kind::SCHEDULABLE));
    assert!(!kind(&frame(&[TYPE_VLAN], TYPE_IPV4, &ipv4(UDP, 0, 0), 200)).is(Kind::SCHEDULABLE));
    assert!(!kind(&frame(&[], TYPE_ARP, &[], 42)).is(Kind::SCHEDULABLE));
    let mut v6 = frame(&[], TYPE_IPV6, &ipv6(&[TCP], 8), 200);
    v6[15] = 0x20;
    assert!(kind(&v6).is(Kind::ECN | Kind::SCHEDULABLE));
}

#[test]
fn flows_are_told_apart() {
    let flow =
        |packet: &[u8]| whole_packet(packet, Meta { len: packet.len() as u32, ..Meta::default() }, 0).flow;
    let one = tcp(1000, 0);
    let other_port = {
        let mut packet = one.clone();
        packet[35] = 1;
        packet
    };
    let other_length = tcp(10, 0);
    assert_eq!(flow(&one), flow(&other_length));
    assert_ne!(flow(&one), flow(&other_port));
    // The fragments of a datagram go to one flow: only the first has ports.
    let fragment = |offset: u8, port: u8| {
        let mut packet = one.clone();
        packet[20] = 0x20;
        packet[21] = offset;
        packet[35] = port;
        packet
    };
    assert_eq!(flow(&fragment(0, 1)), flow(&fragment(9, 2)));
}

#[test]
fn a_cgroup_shows_no_link_header() {
    let packet = tcp(1448, 0);
    let meta = Meta { len: packet.len() as u32 - 14, ..Meta::default() };
    let seen = measure(&packet[14..], Frame::network(TYPE_IPV4), meta, 0);
    assert_eq!(seen.bytes, 1514);
    assert_eq!(seen.flow, whole_packet(&packet, Meta { len: 1514, ..Meta::default() }, 0).flow);
}
