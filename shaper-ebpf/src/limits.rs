//! The limits' maps, and the decision about one packet.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use shaper_common::{
    bucket::{Bucket, ticks},
    flow::{self, Table as _},
    layout::{Config, Counters, Key, SLOTS, State},
    limiter::{Cause, Verdict},
    wire::{Frame, Kind, Measure, measure},
};

use crate::{cell::MapState, pacing, packet::Skb};

/// `shaper_common::layout::LIMITS_MAP`. Not preallocated: an element that is replaced stays as it was for the
/// programs that read it.
#[map]
static LIMITS: HashMap<Key, Config> = HashMap::with_max_entries(SLOTS, BPF_F_NO_PREALLOC);

/// `shaper_common::layout::STATES_MAP`
#[map]
static STATES: Array<State> = Array::with_max_entries(SLOTS, 0);

/// `shaper_common::layout::COUNTERS_MAP`
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Decides about a packet, charges for it and counts it. Also gives the interface that holds packets that wait. `None`
/// where there is no limit.
#[inline(always)]
pub(crate) fn decide(skb: Skb, key: Key, frame: Frame) -> Option<(Verdict, u32)> {
    // SAFETY: the map is not preallocated, so what the reference points to stays.
    let config = unsafe { LIMITS.get(key) }?;
    let state = STATES.get_ptr_mut(config.slot)?;
    let counters = COUNTERS.get_ptr_mut(config.slot)?;
    let mut state = MapState::new(state, skb, key);
    let packet = measure(&skb, frame, skb.meta(state.zero() as u32), config.limiter.overhead);
    let paced = config.paced != 0 && packet.kind.is(Kind::TCP);
    state.pace_senders(paced);
    if paced && packet.kind.is(Kind::OPENING) {
        // Before its socket is told for the first time.
        pacing::note(skb, key);
    }
    // SAFETY: the helper takes nothing and only reads the clock.
    let now = ticks(unsafe { bpf_ktime_get_ns() });
    let (verdict, retries) = config.limiter.decide(&state, now, &packet);
    // SAFETY: the element is this CPU's own, and the hook does not interrupt itself on one CPU (softirqs are off).
    let counters = unsafe { &mut *counters };
    counters.retries += u64::from(retries);
    count(counters, &packet, verdict);
    Some((verdict, config.queue))
}

/// The bucket of a limit whose senders are paced; its debt at `now` (in ticks), and how many flows share its rate.
#[inline(always)]
pub(crate) fn load<'a>(key: Key, now: u64) -> Option<(&'a Bucket, u64, u32)> {
    // SAFETY: the map is not preallocated, so what the reference points to stays.
    let Config { limiter, slot, queue: _, paced } = unsafe { LIMITS.get(key) }?;
    if *paced == 0 {
        return None;
    }
    let state = STATES.get_ptr(*slot)?;
    // SAFETY: the pointer comes from the map; volatile, since others write the words.
    let (total, census) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*state).total),
            core::ptr::read_volatile(&raw const (*state).census),
        )
    };
    let flows = flow::active(census, flow::epoch(now, limiter.epoch_shift));
    Some((&limiter.bucket, total.saturating_sub(now), flows))
}

/// Whether a limit is slower than another, which may be gone or pace nobody.
#[inline(always)]
pub(crate) fn is_slower(limit: Key, other: Key) -> bool {
    // SAFETY: the map is not preallocated, so what the references point to stays.
    let (limit, other) = unsafe { (LIMITS.get(limit), LIMITS.get(other)) };
    let ticks = |config: Option<&Config>| {
        config.filter(|config| config.paced != 0).map_or(0, |config| config.limiter.bucket.ticks_per_byte)
    };
    ticks(limit) > ticks(other)
}

#[inline(always)]
fn count(counters: &mut Counters, packet: &Measure, verdict: Verdict) {
    let bytes = u64::from(packet.bytes);
    let mark = match verdict {
        Verdict::Drop(cause) => {
            counters.dropped_packets += 1;
            counters.dropped_bytes += bytes;
            match cause {
                Cause::Limit => {}
                Cause::Share => counters.share_drops += 1,
                Cause::Early => counters.early_drops += 1,
                Cause::Contended => counters.contended_drops += 1,
            }
            return;
        }
        Verdict::Wait { mark, .. } => {
            counters.queued_packets += 1;
            mark
        }
        Verdict::Pass { mark, first } => {
            counters.first_packets += u64::from(first);
            mark
        }
    };
    counters.passed_packets += 1;
    counters.passed_bytes += bytes;
    counters.marked_packets += u64::from(mark);
    counters.gso_packets += u64::from(packet.segments > 1);
    counters.small_packets += u64::from(packet.kind.is(Kind::SMALL));
    counters.neighbour_packets += u64::from(packet.kind.is(Kind::NEIGHBOUR));
}
