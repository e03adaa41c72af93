//! Phantom buckets: what each flow has taken of the rate, so that the active flows share it.
//!
//! A flow has a bucket of its own that fills at its share, `rate / n` with `n` active flows, and holds no packet: it
//! only says whether the flow is within its share. (Tahir et al., *Efficient Policy-Rich Rate Enforcement with Phantom
//! Queues*, SIGCOMM 2024, doi 10.1145/3651890.3672267, with a GCRA word in the place of a byte counter.) The limiter
//! asks only when the aggregate bucket runs low; what a flow leaves unused is free to the others.
//!
//! Flows live in a set-associative table, as in CAKE: a key falls on a set of [`WAYS`] places, so that two flows share a
//! bucket only if more than that many active ones fall on the same set. The flow that has been silent longest
//! makes room.
//!
//! What a race can cost: two CPUs that meet in one flow's bucket may lose one of the two charges, and two that claim one
//! place at once may mix two flows for as long as both send. Shares then differ by those packets. The aggregate is
//! exact whatever happens here.

use crate::{bucket::Word, dropper::OPEN};

/// Places in a set.
pub const WAYS: u32 = 4;
/// Sets; a power of two.
pub const SETS: u32 = 32;
/// Flows that are told apart at a time.
pub const FLOWS: u32 = SETS * WAYS;

/// The census word: epoch in the upper half, then the flows counted in this epoch and in the one before.
const EPOCH_SHIFT: u32 = 32;
const COUNT_SHIFT: u32 = 16;
const COUNT_MASK: u64 = 0xffff;
/// More active flows than this share the rate as this many.
const MOST: u64 = 1023;

/// The words of a flow table.
pub trait Table {
    /// A word of the table.
    type Word: Word;
    /// Key and epoch of the flow in a place.
    fn key(&self, place: u32) -> Self::Word;
    /// Its theoretical arrival time at its share of the rate, in ticks.
    fn arrival(&self, place: u32) -> Self::Word;
    /// What the dropper remembers of it.
    fn dropper(&self, place: u32) -> Self::Word;
    /// Which epoch it is, and how many flows sent in it and in the one before.
    fn census(&self) -> Self::Word;
    /// A flow is counted: the first of its packets in an epoch.
    fn counted(&self) {}
    /// Zero, where the kernel's verifier cannot know it.
    fn zero(&self) -> u64;
    /// The same value, of which the verifier knows nothing any more: it then checks what follows once, and not once for
    /// every way in which the value came about.
    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        // Added, so that a mask behind it stays the last step: Linux 6.1 loses the bounds of an exclusive or.
        value.wrapping_add(self.zero() as u32)
    }
}

/// A place for a flow.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    place: u32,
    /// Whether the flow has it already: it has sent what needs a share.
    pub known: bool,
}

/// A flow's place in the table, and what it owes.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    place: u32,
    /// How far the flow is ahead of its share, in ticks.
    pub debt: u64,
    /// Flows that share the rate, at least 1.
    pub active: u32,
}

/// Where the flow's place is, or else that of the one in its set that has been silent longest; nothing changes.
#[inline(always)]
pub fn seek(table: &impl Table, key: u32) -> Spot {
    let (place, known) = search(table, key);
    Spot { place: table.forget(place), known: table.forget(known.into()) != 0 }
}

/// Takes the place at `spot` for the flow `key` if it has none, and counts it.
///
/// An epoch of the census lasts `2^epoch_shift` ticks. `total` is the debt of all flows together: with `n` active flows, one
/// cannot owe more than `n` times that, whatever it was charged while there were more.
#[inline(always)]
pub fn take(table: &impl Table, spot: Spot, key: u32, now: u64, total: u64, epoch_shift: u32) -> Flow {
    let Spot { place, known } = spot;
    if !known {
        table.key(place).store(u64::from(key) << 32);
        table.arrival(place).store(0);
        table.dropper(place).store(OPEN);
    }
    let epoch = epoch(now, epoch_shift);
    let entry = table.key(place);
    let current = u64::from(key) << 32 | epoch;
    let census = table.census();
    if entry.load() != current {
        entry.store(current);
        count(&census, epoch);
        table.counted();
    }
    let active = table.forget(active(census.load(), epoch));
    let debt = table.arrival(place).load().saturating_sub(now);
    // At most 2^48 ticks (two hours and a packet's cost at the lowest rate) times 2^10.
    let most = total * u64::from(active);
    Flow { place, debt: if debt < most { debt } else { most }, active }
}

/// The number of the epoch that `now` is in.
#[inline(always)]
#[must_use]
pub const fn epoch(now: u64, epoch_shift: u32) -> u64 {
    (now >> epoch_shift) & 0xffff_ffff
}

/// The place that the flow has, or the one to take; and which of the two.
#[inline(always)]
fn search(table: &impl Table, key: u32) -> (u32, bool) {
    let first = (key % SETS) * WAYS;
    let (mut best, mut earliest) = (first, u64::MAX);
    let mut way = 0;
    while way < WAYS {
        let place = first + way;
        if table.key(place).load() >> 32 == u64::from(key) {
            return (place, true);
        }
        let arrival = table.arrival(place).load();
        if arrival < earliest {
            (best, earliest) = (place, arrival);
        }
        way += 1;
    }
    (best, false)
}

impl Spot {
    /// The debt of the flow that was sought, 0 if it is not in the table.
    #[inline(always)]
    pub fn debt(&self, table: &impl Table, now: u64) -> u64 {
        if self.known { table.arrival(self.place).load().saturating_sub(now) } else { 0 }
    }
}

impl Flow {
    /// What the [dropper](crate::dropper) remembers of the flow.
    #[inline(always)]
    pub fn word(&self, table: &impl Table) -> u64 {
        table.dropper(self.place).load()
    }

    /// Makes it remember something else.
    #[inline(always)]
    pub fn set(&self, table: &impl Table, word: u64) {
        table.dropper(self.place).store(word);
    }

    /// Charges the flow with `cost` at its share of the rate, unless it owes more than `limit` already: what it takes
    /// beyond its share while others leave theirs is not held against it.
    #[inline(always)]
    pub fn charge(&self, table: &impl Table, now: u64, cost: u64, limit: u64) {
        if self.debt <= limit {
            table.arrival(self.place).store(now + self.debt + cost * u64::from(self.active));
        }
    }
}

/// Counts one more flow in this epoch. A lost race leaves it uncounted until the next.
#[inline(always)]
fn count(word: &impl Word, epoch: u64) {
    let census = word.load();
    let (then, now) = (census >> EPOCH_SHIFT, (census >> COUNT_SHIFT) & COUNT_MASK);
    let (now, before) = if then == epoch {
        (now, census & COUNT_MASK)
    } else if then + 1 == epoch {
        (0, now)
    } else {
        (0, 0)
    };
    let now = if now < COUNT_MASK { now + 1 } else { now };
    word.exchange(census, epoch << EPOCH_SHIFT | now << COUNT_SHIFT | before);
}

/// Flows that share the rate: those that sent in this epoch or in the one before, at least 1.
#[inline(always)]
#[must_use]
pub const fn active(census: u64, epoch: u64) -> u32 {
    let (then, now, before) =
        (census >> EPOCH_SHIFT, (census >> COUNT_SHIFT) & COUNT_MASK, census & COUNT_MASK);
    let flows = if then == epoch {
        if now > before { now } else { before }
    } else if then + 1 == epoch {
        now
    } else {
        1
    };
    if flows == 0 {
        1
    } else if flows > MOST {
        MOST as u32
    } else {
        flows as u32
    }
}
