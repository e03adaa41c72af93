//! The rule by which Cilium's bandwidth manager limits what goes into a pod (`bpf/lib/tb.h`, Cilium 1.18), written anew
//! from its description, at a hook of any interface:
//!
//! ```text
//! tokens = min(tokens + rate * elapsed / 1e9, rate);   pass if tokens >= bytes, else drop
//! ```
//!
//! As there, the bucket holds one second of the rate, a packet that is longer than the bucket never passes, the
//! division truncates, and two processors at once may lose or double tokens. One thing differs: bytes are those of
//! Ethernet frames on a wire, every segment of an offloaded packet with its headers, so that the same rate means the same
//! as for the limits beside it. (Cilium takes `wire_len`, which at an ingress hook leaves these headers out.)

#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::bpf_ktime_get_ns,
    macros::{classifier, map},
    maps::Array,
    programs::TcContext,
};

/// One limit. `src/limit.rs` of the loader lays it out the same way.
#[repr(C)]
struct Bucket {
    /// Bytes a second; zero: no limit.
    rate: u64,
    tokens: u64,
    last_ns: u64,
}

#[map]
static BUCKET: Array<Bucket> = Array::with_max_entries(1, 0);

/// Ethernet, IPv4 and TCP headers with time stamps.
const HEADERS_V4: u64 = 14 + 20 + 32;
/// As [`HEADERS_V4`] with IPv6.
const HEADERS_V6: u64 = 14 + 40 + 32;
/// `ETH_P_IPV6` in network order, as `__sk_buff` holds it.
const IPV6: u32 = (0x86DD_u16).to_be() as u32;

/// The limit.
#[classifier]
pub fn token_bucket(ctx: TcContext) -> i32 {
    let Some(bucket) = BUCKET.get_ptr_mut(0) else {
        return TC_ACT_UNSPEC;
    };
    let skb = ctx.skb.skb;
    // SAFETY: the context that the kernel passes is valid while the program runs.
    let (length, segments, protocol) =
        unsafe { (u64::from((*skb).len), u64::from((*skb).gso_segs), (*skb).protocol) };
    let headers = if protocol == IPV6 { HEADERS_V6 } else { HEADERS_V4 };
    let bytes = length + segments.saturating_sub(1) * headers;
    // SAFETY: a map's look-up gives a valid, aligned pointer for as long as the program runs. Other processors may write
    // at the same time, as in Cilium's program.
    let (rate, tokens, last) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*bucket).rate),
            core::ptr::read_volatile(&raw const (*bucket).tokens),
            core::ptr::read_volatile(&raw const (*bucket).last_ns),
        )
    };
    if rate == 0 {
        return TC_ACT_UNSPEC;
    }
    // SAFETY: the helper takes nothing and only reads the clock.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut tokens = tokens + rate.wrapping_mul(now.wrapping_sub(last)) / 1_000_000_000;
    if tokens > rate {
        tokens = rate;
    }
    let passes = tokens >= bytes;
    if passes {
        tokens -= bytes;
    }
    // SAFETY: as above.
    unsafe {
        core::ptr::write_volatile(&raw mut (*bucket).last_ns, now);
        core::ptr::write_volatile(&raw mut (*bucket).tokens, tokens);
    }
    if passes { TC_ACT_UNSPEC } else { TC_ACT_SHOT }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
