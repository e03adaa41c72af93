//! The kernel side of the limits: classifiers at the TC ingress of a container's host-side veth, where what the
//! container sends comes out, and at its egress, and a filter at the egress of a container's cgroup.
//!
//! The arithmetic is `shaper-common`'s; this crate lends it the packet, the clock and the maps. A packet that may
//! pass is answered with `TC_ACT_UNSPEC` (`TCX_NEXT`), so that programs behind this one still see it.
//!
//! Kernel 5.12 or later (compare-and-swap in BPF), 5.18 for departure times.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no AtomicU64::compare_exchange; its intrinsic exists"
)]

mod cell;
mod limits;
mod pacing;
mod packet;
mod schedule;

use core::{cell::UnsafeCell, ffi::c_void};

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::bpf_skb_ecn_set_ce,
    macros::{cgroup_skb, classifier, sock_ops},
    programs::{SkBuffContext, SockOpsContext, TcContext},
};
use aya_log_ebpf::debug;
use shaper_common::{
    layout::{CGROUP, DOWNLOAD, Key, UPLOAD},
    limiter::Verdict,
    wire::Frame,
};

use crate::packet::Skb;

/// The interface that no cgroup's limit counts: what a container says to itself does not leave the machine. It has
/// this number in every network namespace.
const LOOPBACK: u32 = 1;

/// What a cgroup's program answers: drop and tell the sender's TCP at once that the path is congested, or keep.
/// (`BPF_PROG_CGROUP_INET_EGRESS_RUN_ARRAY` in `include/linux/bpf-cgroup.h`.)
const CGROUP_DROP: i32 = 2;
const CGROUP_KEEP: i32 = 1;

/// A number that the agent may write while the program is loaded: one that is loaded ahead is told later whose it is.
#[repr(transparent)]
struct Told(UnsafeCell<u32>);

// SAFETY: the kernel reads and writes aligned words of maps whole.
unsafe impl Sync for Told {}

impl Told {
    #[inline(always)]
    fn load(&self) -> u32 {
        // SAFETY: the pointer is the number's own.
        unsafe { self.0.get().read_volatile() }
    }
}

/// Whose limit the cgroup's program is: all that `shaper_common::layout::CGROUP_GLOBALS` holds.
#[unsafe(no_mangle)]
static CGROUP_ID: Told = Told(UnsafeCell::new(0));

/// `shaper_common::layout::UPLOAD_PROGRAM`
#[classifier]
pub fn sluice_upload(ctx: TcContext) -> i32 {
    classify(&ctx, UPLOAD)
}

/// `shaper_common::layout::DOWNLOAD_PROGRAM`
#[classifier]
pub fn sluice_download(ctx: TcContext) -> i32 {
    classify(&ctx, DOWNLOAD)
}

/// `shaper_common::layout::CGROUP_PROGRAM`
#[cgroup_skb(egress)]
pub fn sluice_cgroup(ctx: SkBuffContext) -> i32 {
    let skb = Skb::new(ctx.skb.skb);
    if skb.interface() == LOOPBACK {
        return CGROUP_KEEP;
    }
    let key = Key { id: CGROUP_ID.load(), hook: CGROUP };
    match limits::decide(skb, key, Frame::network(skb.ethertype())) {
        Some((Verdict::Drop(_), _)) => CGROUP_DROP,
        Some((Verdict::Pass { mark: true, .. } | Verdict::Wait { mark: true, .. }, _)) => {
            mark(skb);
            CGROUP_KEEP
        }
        _ => CGROUP_KEEP,
    }
}

/// `shaper_common::layout::PACE_PROGRAM`
#[sock_ops]
pub fn sluice_pace(ctx: SockOpsContext) -> u32 {
    pacing::tell(&ctx);
    1
}

/// What an iterator over TCP sockets hands over (`struct bpf_iter__tcp` in `net/ipv4/tcp_ipv4.c`).
#[repr(C)]
pub struct TcpIteration {
    meta: *mut c_void,
    /// Null after the last one.
    socket: *mut c_void,
    user: u32,
}

/// `shaper_common::layout::RELEASE_PROGRAM`
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn sluice_release(ctx: *const TcpIteration) -> i32 {
    // SAFETY: the kernel hands over a valid iteration, and a socket that it has locked.
    unsafe {
        let socket = (*ctx).socket;
        if !socket.is_null() {
            pacing::release(socket);
        }
    }
    0
}

#[inline(always)]
fn classify(ctx: &TcContext, hook: u32) -> i32 {
    let skb = Skb::new(ctx.skb.skb);
    skb.pull();
    let key = Key { id: skb.interface(), hook };
    let Some((verdict, queue)) = limits::decide(skb, key, Frame::ethernet(&skb)) else {
        return TC_ACT_UNSPEC;
    };
    match verdict {
        Verdict::Pass { mark: congested, first: _ } => {
            if congested {
                mark(skb);
            }
            TC_ACT_UNSPEC
        }
        Verdict::Wait { mark: congested, departure } => {
            if congested {
                mark(skb);
            }
            schedule::at(skb, departure, queue)
        }
        Verdict::Drop(_) => {
            debug!(ctx, "dropped {} bytes at interface {}", ctx.len(), key.id);
            TC_ACT_SHOT
        }
    }
}

/// Marks the packet as having met congestion.
#[inline(always)]
fn mark(skb: Skb) {
    // SAFETY: the context is valid. The helper mends the checksum, and leaves packets alone that may not be marked.
    unsafe { bpf_skb_ecn_set_ce(skb.raw()) };
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
