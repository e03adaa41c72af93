//! The kernel side of the upload limit: a classifier at the TC ingress of a container's host-side veth, where what
//! the container sends comes out.
//!
//! The arithmetic is `shaper-common`'s; this file lends it the packet, the clock and the maps. A packet that may
//! pass is answered with `TC_ACT_UNSPEC` (`TCX_NEXT`), so that programs behind this one still see it.
//!
//! Kernel 5.12 or later (compare-and-swap in BPF).

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no AtomicU64::compare_exchange; its intrinsic exists"
)]

mod cell;
mod packet;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::bpf_ktime_get_ns,
    macros::{classifier, map},
    maps::{Array, PerCpuArray},
    programs::TcContext,
};
use aya_log_ebpf::debug;
use shaper_common::{
    bucket::{Class, Verdict, ticks},
    layout::{Config, Counters},
    wire::{Measure, measure},
};

use crate::{cell::MapWord, packet::Skb};

/// `shaper_common::layout::CONFIG_MAP`
#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// `shaper_common::layout::STATE_MAP`
#[map]
static STATE: Array<u64> = Array::with_max_entries(1, 0);

/// `shaper_common::layout::COUNTERS_MAP`
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// `shaper_common::layout::PROGRAM`
#[classifier]
pub fn sluice_upload(ctx: TcContext) -> i32 {
    // Arrays have their one element from the start: the two `None`s are for the verifier.
    let (Some(config), Some(counters)) = (CONFIG.get(0), COUNTERS.get_ptr_mut(0)) else {
        return TC_ACT_UNSPEC;
    };
    let Some(word) = STATE.get_ptr_mut(0) else {
        return TC_ACT_UNSPEC;
    };
    let skb = Skb::new(&ctx);
    let meta = skb.meta();
    let measured = measure(&skb, meta, config.overhead);
    let (verdict, retries) = if config.bucket.ticks_per_byte == 0 {
        (Verdict::Pass { from_reserve: false }, 0)
    } else {
        // SAFETY: the helper takes nothing and only reads the clock.
        let now = ticks(unsafe { bpf_ktime_get_ns() });
        config.bucket.admit(&MapWord::new(word), now, measured.bytes, measured.class)
    };
    // SAFETY: the element is this CPU's own, and the hook does not interrupt itself on one CPU (softirqs are off).
    let counters = unsafe { &mut *counters };
    counters.retries += u64::from(retries);
    if count(counters, measured, verdict) {
        return TC_ACT_UNSPEC;
    }
    debug!(&ctx, "dropped {} bytes in {} segments", measured.bytes, measured.segments);
    TC_ACT_SHOT
}

/// Counts the packet and says whether it passes.
#[inline(always)]
fn count(counters: &mut Counters, measured: Measure, verdict: Verdict) -> bool {
    let bytes = u64::from(measured.bytes);
    match verdict {
        Verdict::Pass { from_reserve } => {
            counters.passed_packets += 1;
            counters.passed_bytes += bytes;
            counters.gso_packets += u64::from(measured.segments > 1);
            match measured.class {
                Class::Bulk => {}
                Class::Small => {
                    counters.small_packets += 1;
                    counters.reserve_packets += u64::from(from_reserve);
                }
                Class::Neighbour => counters.neighbour_packets += 1,
            }
            true
        }
        Verdict::Drop | Verdict::Contended => {
            counters.dropped_packets += 1;
            counters.dropped_bytes += bytes;
            counters.contended_packets += u64::from(verdict == Verdict::Contended);
            false
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
