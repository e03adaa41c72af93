//! Senders that are told how fast they may go.
//!
//! A classifier at a veth sees packets that still belong to the socket that sent them (so TCP knows what of its own waits
//! below it), and can note which it is. A socket can be told something only where its TCP calls: once in a round trip, by
//! the program for socket operations.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB,
        BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_RTO_CB, BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_RTT_CB,
        BPF_SOCK_OPS_RTT_CB_FLAG,
    },
    helpers::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_getsockopt, bpf_ktime_get_ns, bpf_setsockopt,
    },
    macros::map,
    maps::LruHashMap,
    programs::SockOpsContext,
};
use shaper_common::{
    bucket::ticks,
    layout::{Key, Paced},
    pacing::{UNPACED, pace},
};

use crate::{limits, packet::Skb};

/// Sockets that are paced at a time, of all containers.
const SOCKETS: u32 = 16_384;
/// When a socket's TCP is to call: in each round trip, and when it sends again, since what is sent again gives no round
/// trip.
const CALLS: u32 = BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG;

/// `shaper_common::layout::PACED_MAP`
#[map]
static PACED: LruHashMap<u64, Paced> = LruHashMap::with_max_entries(SOCKETS, 0);

/// Notes that the packet's socket sends through the limit.
#[inline(always)]
pub(crate) fn note(skb: Skb, key: Key) {
    // SAFETY: the context is valid.
    let cookie = unsafe { bpf_get_socket_cookie(skb.raw().cast()) };
    // 0 for a packet of no socket of this machine.
    if cookie == 0 {
        return;
    }
    match PACED.get_ptr_mut(cookie) {
        // Through several limits it goes as fast as the slowest.
        // SAFETY: the element is not freed while the program runs.
        Some(paced) => unsafe {
            if (*paced).key != key && limits::is_slower(key, (*paced).key) {
                (*paced).key = key;
            }
        },
        // A full map makes room by itself; if it cannot, the sender is not paced.
        None => drop(PACED.insert(cookie, Paced { key, told: 0 }, 0)),
    }
}

/// Tells a socket its pace, where its TCP calls.
#[inline(always)]
pub(crate) fn tell(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            if is_elsewhere(ctx) {
                // Refused for a socket that is on its way out.
                let _ = ctx.set_cb_flags((ctx.cb_flags() | CALLS) as i32);
                set_pace(ctx);
            }
        }
        BPF_SOCK_OPS_RTT_CB | BPF_SOCK_OPS_RETRANS_CB | BPF_SOCK_OPS_RTO_CB => set_pace(ctx),
        _ => {}
    }
}

/// Whether a new connection may come through an interface of a container: it is not the host's own.
#[inline(always)]
fn is_elsewhere(ctx: &SockOpsContext) -> bool {
    // SAFETY: the context is valid; without one it is the first namespace's cookie.
    unsafe { bpf_get_netns_cookie(ctx.as_ptr()) != bpf_get_netns_cookie(ptr::null_mut()) }
}

#[inline(always)]
fn set_pace(ctx: &SockOpsContext) {
    // SAFETY: the context is valid.
    let (cookie, now) = unsafe { (bpf_get_socket_cookie(ctx.as_ptr()), ticks(bpf_ktime_get_ns())) };
    let Some(paced) = PACED.get_ptr_mut(cookie) else { return };
    // SAFETY: the element is not freed while the program runs, and only this socket's TCP, which is locked, tells.
    let paced = unsafe { &mut *paced };
    let wanted = match limits::load(paced.key, now) {
        Some((bucket, debt, flows)) => pace(bucket, debt, flows),
        None => UNPACED,
    };
    // SAFETY: the context is valid.
    unsafe { Socket(ctx.as_ptr()).tell(paced, wanted) };
}

/// Lets a socket go as fast as it can, if it was told otherwise here.
///
/// # Safety
///
/// `socket` is a socket that a program may hand to the kernel's helpers, and locked.
#[inline(always)]
pub(crate) unsafe fn release(socket: *mut c_void) {
    // SAFETY: by this function's contract.
    let cookie = unsafe { bpf_get_socket_cookie(socket) };
    if let Some(paced) = PACED.get_ptr_mut(cookie) {
        // SAFETY: the element is not freed while the program runs; the socket by this function's contract.
        unsafe { Socket(socket).tell(&mut *paced, UNPACED) };
        // It may have made room meanwhile.
        let _ = PACED.remove(cookie);
    }
}

/// A socket, or a context that stands for one, as the helpers take it.
struct Socket(*mut c_void);

impl Socket {
    /// Changes the socket's pace, unless its own program has asked for another than it was told last: that one stands.
    ///
    /// # Safety
    ///
    /// The socket is valid and locked.
    #[inline(always)]
    unsafe fn tell(&self, paced: &mut Paced, mut wanted: u32) {
        const SOL_SOCKET: i32 = 1;
        const SO_MAX_PACING_RATE: i32 = 47;
        let last = if paced.told == 0 { UNPACED } else { paced.told as u32 };
        let mut current = 0_u32;
        let size = size_of::<u32>() as i32;
        // SAFETY: the values are as long as is said; the socket by this function's contract.
        unsafe {
            let value = (&raw mut current).cast();
            let read = bpf_getsockopt(self.0, SOL_SOCKET, SO_MAX_PACING_RATE, value, size);
            if read != 0 || current != last || wanted == last {
                return;
            }
            let value = (&raw mut wanted).cast();
            if bpf_setsockopt(self.0, SOL_SOCKET, SO_MAX_PACING_RATE, value, size) == 0 {
                paced.told = wanted.into();
            }
        }
    }
}
