//! Departure times: how a packet waits without a queue of the program's own.

use aya_ebpf::{
    bindings::TC_ACT_UNSPEC,
    helpers::{bpf_redirect, bpf_skb_set_tstamp},
};

use crate::packet::Skb;

/// `BPF_SKB_CLOCK_MONOTONIC`: the time is one of `bpf_ktime_get_ns`.
const MONOTONIC: u32 = 1;
/// `fq` serves packets of this priority (`TC_PRIO_CONTROL`, in the low four bits) at once, whatever their time.
const CONTROL: u32 = 7;
const PRIORITY_MASK: u32 = 15;

/// Stamps the packet with its departure (ns of the monotonic clock) and sends it to where it waits: the interface
/// `queue`, or, if that is 0, the queue behind this hook.
#[inline(always)]
pub(crate) fn at(skb: Skb, departure: u64, queue: u32) -> i32 {
    // SAFETY: the context is valid; the priority is a field that TC programs may write.
    unsafe {
        if (*skb.raw()).priority & PRIORITY_MASK == CONTROL {
            (*skb.raw()).priority = 0;
        }
        bpf_skb_set_tstamp(skb.raw(), departure, MONOTONIC);
        if queue == 0 { TC_ACT_UNSPEC } else { bpf_redirect(queue, 0) as i32 }
    }
}
