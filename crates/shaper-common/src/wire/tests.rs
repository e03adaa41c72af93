extern crate std;

use std::{vec, vec::Vec};

use super::*;

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
        assert_eq!(headers(packet.as_slice()), *expected, "{name}");
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
    };
    let measured = measure(packet.as_slice(), whole(7, 1448), 0);
    assert_eq!(measured.bytes, 7 * 1514);
    assert_eq!(measured.segments, 7);
    assert_eq!(measured.class, Class::Bulk);
    assert_eq!(measure(packet.as_slice(), whole(7, 1448), 24).bytes, 7 * (1514 + 24));
    assert_eq!(measure(packet.as_slice(), Meta { tagged: true, ..whole(7, 1448) }, 0).bytes, 7 * 1518);
    // The count is left out: it follows from the lengths, the last segment being shorter.
    let uncounted = Meta { len: 66 + 6 * 1448 + 10, gso_segs: 0, gso_size: 1448, tagged: false };
    assert_eq!(measure(packet.as_slice(), uncounted, 0).bytes, 6 * 1514 + 66 + 10);
    // Small segments are not small packets.
    assert_eq!(measure(packet.as_slice(), whole(2, 20), 0).class, Class::Bulk);
}

#[test]
fn single_packets_cost_their_length() {
    let packet = frame(&[], TYPE_IPV4, &ipv4(TCP, 0, 8), 200);
    let one = |len| Meta { len, ..Meta::default() };
    assert_eq!(
        measure(packet.as_slice(), one(66), 0),
        Measure { bytes: 66, segments: 1, class: Class::Small }
    );
    assert_eq!(measure(packet.as_slice(), one(128), 0).class, Class::Small);
    assert_eq!(measure(packet.as_slice(), one(129), 0).class, Class::Bulk);
    // The class is the frame's, whatever the uplink adds.
    assert_eq!(
        measure(packet.as_slice(), one(128), 40),
        Measure { bytes: 168, segments: 1, class: Class::Small }
    );
    assert_eq!(measure(packet.as_slice(), one(66), -100).bytes, 1);
    assert_eq!(measure(packet.as_slice(), one(1514), i32::MAX).bytes, MAX_BYTES);
}

#[test]
fn neighbour_discovery_is_known() {
    let class =
        |packet: &[u8]| measure(packet, Meta { len: packet.len() as u32, ..Meta::default() }, 0).class;
    let icmp = |kind: u8| {
        let mut header = vec![0; 40];
        header[6] = ICMPV6;
        header.push(kind);
        header
    };
    assert_eq!(class(&frame(&[], TYPE_ARP, &[], 42)), Class::Neighbour);
    assert_eq!(class(&frame(&[TYPE_VLAN], TYPE_ARP, &[], 46)), Class::Neighbour);
    assert_eq!(class(&frame(&[], TYPE_IPV6, &icmp(135), 86)), Class::Neighbour);
    assert_eq!(class(&frame(&[], TYPE_IPV6, &icmp(128), 86)), Class::Small);
    // Nobody carries data past the limit by calling it ARP.
    assert_eq!(class(&frame(&[], TYPE_ARP, &[], 1514)), Class::Bulk);
}
