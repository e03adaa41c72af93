//! A packet as the kernel hands it over.

use aya_ebpf::programs::TcContext;
use shaper_common::wire::{Meta, Packet};

/// The socket buffer of a TC program. At an ingress, too, it begins with the Ethernet header.
pub(crate) struct Skb<'a>(&'a TcContext);

impl<'a> Skb<'a> {
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self(ctx)
    }

    /// What the kernel knows without a look into the packet.
    #[inline(always)]
    pub(crate) fn meta(&self) -> Meta {
        let skb = self.0.skb.skb;
        // SAFETY: the context that the kernel passes is valid while the program runs.
        unsafe {
            Meta {
                len: (*skb).len,
                gso_segs: (*skb).gso_segs,
                gso_size: (*skb).gso_size,
                tagged: (*skb).vlan_present != 0,
            }
        }
    }
}

impl Packet for Skb<'_> {
    /// Through the helper, not by pointer: headers may lie outside of the linear part.
    #[inline(always)]
    fn byte(&self, offset: u32) -> Option<u8> {
        self.0.load::<u8>(offset as usize).ok()
    }
}
