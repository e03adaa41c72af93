//! A packet as the kernel hands it over.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_skb_pull_data};
use shaper_common::wire::{Meta, Packet, Pairs};

/// Ethernet with two tags, IPv6 with an extension header, TCP's first twenty bytes.
const HEADERS: u32 = 14 + 8 + 40 + 8 + 20;

/// A socket buffer. At a TC hook it begins with the Ethernet header, at a cgroup's with the network header.
#[derive(Clone, Copy)]
pub(crate) struct Skb(*mut __sk_buff);

impl Skb {
    /// `skb` is the context that the kernel passes: valid while the program runs.
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self(skb)
    }

    /// Makes the headers readable by pointer where they are not: a packet from outside (a tap, another machine) may
    /// have them in a fragment.
    #[inline(always)]
    pub(crate) fn pull(self) {
        // SAFETY: valid by the constructor's contract.
        unsafe {
            let wanted = if (*self.0).len < HEADERS { (*self.0).len } else { HEADERS };
            if ((*self.0).data as usize) + wanted as usize > (*self.0).data_end as usize {
                // If it fails, what cannot be read counts as nothing.
                bpf_skb_pull_data(self.0, wanted);
            }
        }
    }

    pub(crate) fn raw(self) -> *mut __sk_buff {
        self.0
    }

    /// What the kernel knows without a look into the packet.
    #[inline(always)]
    pub(crate) fn meta(self, zero: u32) -> Meta {
        // SAFETY: valid by the constructor's contract.
        unsafe {
            Meta {
                len: (*self.0).len,
                gso_segs: (*self.0).gso_segs,
                gso_size: (*self.0).gso_size,
                tagged: (*self.0).vlan_present != 0,
                zero,
            }
        }
    }

    /// The interface that the packet is at.
    #[inline(always)]
    pub(crate) fn interface(self) -> u32 {
        // SAFETY: valid by the constructor's contract.
        unsafe { (*self.0).ifindex }
    }

    /// The network protocol.
    #[inline(always)]
    pub(crate) fn ethertype(self) -> u16 {
        // SAFETY: valid by the constructor's contract. The field holds the protocol in network order.
        u16::from_be(unsafe { (*self.0).protocol } as u16)
    }
}

impl Packet for Skb {
    /// By pointer: a helper's call takes as long as all the rest of a header's parsing.
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<Pairs<N>> {
        // SAFETY: valid by the constructor's contract.
        let (data, end) = unsafe { ((*self.0).data as usize, (*self.0).data_end as usize) };
        let at = data + offset as usize;
        if at + 2 * N > end {
            return None;
        }
        // SAFETY: within the packet, by the comparison, which is also what the verifier goes by. The kernel's packets
        // begin at even addresses and so do their headers.
        Some(Pairs(unsafe { core::ptr::read(at as *const [u16; N]) }))
    }
}
