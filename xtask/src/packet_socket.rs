//! A packet socket that sees what a link receives.
#![expect(unsafe_code, reason = "nix has no binding for sockaddr_ll and the options of packet(7)")]

use std::io::{self, IoSliceMut};
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// Bytes of `struct virtio_net_hdr` before each packet.
const OFFLOAD_HEADER: usize = 10;
/// Enough of a packet for its Ethernet, IP (v6) and TCP headers with all options.
const HEADERS: usize = 192;
/// How much the kernel may keep for a reader that comes late: a tenth of a second at some gigabits a second.
const BUFFER: usize = 64 << 20;

/// A packet socket on one link.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

/// One packet as the stack received it: with segmentation offload possibly several on a wire.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// When, since 1970; `None` if the kernel gave no time stamp.
    pub at: Option<Duration>,
    /// The whole length in bytes, Ethernet header included.
    pub length: usize,
    /// Payload bytes of each segment, 0 if it is one packet.
    pub segment: usize,
    /// The first bytes, from the Ethernet header on.
    pub headers: &'a [u8],
}

impl PacketSocket {
    /// Opens a socket for what the link `index` receives, all protocols, nothing that it sends.
    ///
    /// # Errors
    ///
    /// If a system call fails (`CAP_NET_RAW` is needed).
    pub fn open(index: u32) -> io::Result<Self> {
        let all = (libc::ETH_P_ALL as u16).to_be();
        // Protocol 0 until the socket is bound: nothing of other links may come in before.
        // SAFETY: socket() takes numbers only.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let socket = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        socket.set(libc::PACKET_VNET_HDR)?;
        socket.set(libc::PACKET_IGNORE_OUTGOING)?;
        setsockopt(&socket.fd, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket.fd, sockopt::RcvBufForce, &BUFFER)?;
        // SAFETY: sockaddr_ll is plain data for which all zeroes is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = index.cast_signed();
        // SAFETY: the pointer and the length describe `address`, which lives through the call.
        let bound = unsafe {
            libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
        };
        if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
    }

    /// The next packet, its headers in `buffer`; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// If the socket fails, for example because the link has gone.
    pub fn receive<'a>(
        &self,
        buffer: &'a mut [u8; OFFLOAD_HEADER + HEADERS],
    ) -> io::Result<Option<Received<'a>>> {
        let mut control = nix::cmsg_space!(TimeSpec);
        let (length, at) = {
            let mut parts = [IoSliceMut::new(buffer)];
            // MSG_TRUNC: the whole length, however much of it fits.
            match recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_TRUNC) {
                Ok(message) => {
                    let at = message.cmsgs()?.find_map(|message| match message {
                        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                        _ => None,
                    });
                    (message.bytes, at)
                }
                Err(nix::errno::Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let segment = usize::from(u16::from_ne_bytes([buffer[4], buffer[5]]));
        // gso_type 0 is VIRTIO_NET_HDR_GSO_NONE.
        let segment = if buffer[1] == 0 { 0 } else { segment };
        let kept = length.min(buffer.len());
        Ok(Some(Received {
            at,
            length: length.saturating_sub(OFFLOAD_HEADER),
            segment,
            headers: &buffer[OFFLOAD_HEADER.min(kept)..kept],
        }))
    }

    /// A buffer for [`PacketSocket::receive`].
    pub fn buffer() -> [u8; OFFLOAD_HEADER + HEADERS] {
        [0; OFFLOAD_HEADER + HEADERS]
    }

    /// Packets that the socket lost since the last call because nobody read in time.
    pub fn lost(&self) -> u32 {
        let mut counters = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: pointer and length describe `counters`, which lives through the call.
        let got = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counters).cast(),
                &raw mut length,
            )
        };
        if got == 0 { counters.tp_drops } else { 0 }
    }

    fn set(&self, option: libc::c_int) -> io::Result<()> {
        let on: libc::c_int = 1;
        // SAFETY: pointer and length describe `on`, which lives through the call.
        let set = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
