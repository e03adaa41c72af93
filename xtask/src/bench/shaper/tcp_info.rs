//! What the kernel knows of a TCP connection.
#![expect(unsafe_code, reason = "nix has no binding for TCP_INFO")]

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

/// A connection's counters, from its sender's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent, those sent again among them.
    pub segments_out: u32,
    /// Segments sent again.
    pub retransmitted: u32,
    /// The smoothed round-trip time in microseconds.
    pub srtt_us: u32,
    /// Payload bytes of a full segment.
    pub mss: u32,
    /// Payload bytes that the other end has acknowledged.
    pub acknowledged: u64,
    /// Segments that the other end reported as marked on the way (ECN).
    pub delivered_ce: u32,
}

impl TcpInfo {
    /// Reads them (Linux 4.18 or later; a kernel that knows fewer fields leaves the rest zero).
    ///
    /// # Errors
    ///
    /// If `socket` is not a TCP connection.
    pub fn read(socket: &impl AsRawFd) -> io::Result<Self> {
        // SAFETY: tcp_info is plain data for which all zeroes is a value.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: pointer and length describe `info`, which lives through the call.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut length,
            )
        };
        if got != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            segments_out: info.tcpi_segs_out,
            retransmitted: info.tcpi_total_retrans,
            srtt_us: info.tcpi_rtt,
            mss: info.tcpi_snd_mss,
            acknowledged: info.tcpi_bytes_acked,
            delivered_ce: info.tcpi_delivered_ce,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn counts_what_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.write_all(&[0; 1000]).unwrap();
        let info = TcpInfo::read(&stream).unwrap();
        assert!(info.segments_out >= 2 && info.mss >= 536, "{info:?}");
        assert!(TcpInfo::read(&std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
