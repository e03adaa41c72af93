//! Lengths of packets on a wire, and what a TCP segment carries, read from a packet's first bytes.

use crate::packet_socket::Received;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// The headers of a TCP or UDP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// Bytes of the Ethernet, network and transport header together.
    pub length: usize,
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The sequence number of the first payload byte, if it is TCP.
    pub sequence: Option<u32>,
}

impl Headers {
    /// Reads the headers at the beginning of `packet`: TCP or UDP over IPv4, or over IPv6 without extension headers;
    /// `None` for anything else.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let network = packet.get(ETHERNET..)?;
        let (protocol, length) = match (packet.get(12..14)?, network.first()?) {
            ([0x08, 0x00], version) => (*network.get(9)?, usize::from(version & 0x0F) * 4),
            ([0x86, 0xDD], _) => (*network.get(6)?, 40),
            _ => return None,
        };
        let transport = network.get(length..)?;
        let [source_port, destination_port] =
            [transport.get(..2)?, transport.get(2..4)?].map(|port| u16::from_be_bytes([port[0], port[1]]));
        let (bytes, sequence) = match protocol {
            6 => {
                let sequence = transport.get(4..8)?.try_into().ok().map(u32::from_be_bytes);
                (usize::from(transport.get(12)? >> 4) * 4, sequence)
            }
            17 => (8, None),
            _ => return None,
        };
        Some(Self { length: ETHERNET + length + bytes, source_port, destination_port, sequence })
    }
}

/// Bytes on the wire of `packet`: each segment of an offloaded packet repeats all headers.
pub fn wire_bytes(packet: &Received<'_>) -> u64 {
    let length = packet.length as u64;
    match Headers::read(packet.headers) {
        Some(headers) if packet.segment > 0 && packet.length > headers.length => {
            let segments = (packet.length - headers.length).div_ceil(packet.segment);
            length + (segments as u64 - 1) * headers.length as u64
        }
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp4() -> Vec<u8> {
        let mut packet = vec![0; 66];
        packet[12] = 0x08;
        packet[14] = 0x45;
        packet[23] = 6;
        packet[34..36].copy_from_slice(&5001_u16.to_be_bytes());
        packet[36..38].copy_from_slice(&5000_u16.to_be_bytes());
        packet[38..42].copy_from_slice(&77_u32.to_be_bytes());
        packet[14 + 20 + 12] = 0x80; // 32 bytes: with time stamps
        packet
    }

    #[test]
    fn headers_of_tcp_and_udp() {
        let expected = Headers { length: 66, source_port: 5001, destination_port: 5000, sequence: Some(77) };
        assert_eq!(Headers::read(&tcp4()), Some(expected));
        let mut udp6 = vec![0; 62];
        udp6[12..14].copy_from_slice(&[0x86, 0xDD]);
        udp6[20] = 17;
        let expected = Headers { length: 62, source_port: 0, destination_port: 0, sequence: None };
        assert_eq!(Headers::read(&udp6), Some(expected));
    }

    #[test]
    fn each_segment_repeats_the_headers() {
        let headers = tcp4();
        let packet = |length, segment| Received { at: None, length, segment, headers: &headers };
        assert_eq!(wire_bytes(&packet(1514, 0)), 1514);
        assert_eq!(wire_bytes(&packet(66 + 2 * 1448, 1448)), 2 * 1514);
        assert_eq!(wire_bytes(&packet(66 + 2 * 1448 + 1, 1448)), 2 * 1514 + 67);
    }

    #[test]
    fn other_packets_count_as_they_are() {
        let arp = [&[0; 12][..], &[0x08, 0x06], &[0; 28]].concat();
        assert_eq!(Headers::read(&arp), None);
        assert_eq!(wire_bytes(&Received { at: None, length: 42, segment: 0, headers: &arp }), 42);
        assert_eq!(Headers::read(&tcp4()[..30]), None);
    }
}
