//! The token bucket: a GCRA (generic cell rate algorithm) that admits into debt.
//!
//! The whole state is one number, the *theoretical arrival time* `tat`: the time at which everything admitted so
//! far will have left at the rate. `tat - now`, if positive, is the *debt*. A packet is admitted while the debt is
//! at most `limit`, whatever its own length, and moves `tat` on by its cost, `bytes / rate`:
//!
//! ```text
//! debt = max(tat - now, 0);   admit if debt <= limit;   tat' = max(tat, now) + cost
//! ```
//!
//! `limit` is the burst less one full frame, in time at the rate. Hence:
//!
//! **Theorem.** Over any window of length `T`, the admitted bytes are at most `rate * T + burst`, if no packet is
//! longer than a full frame. A longer one (an unsegmented GSO packet) adds what it has beyond a frame, once. Small
//! packets may go `reserve` deeper, so with them the bound is at most `rate * T + burst + rate * reserve`.
//!
//! *Proof.* Let the window `[t1, t2]` begin and end with an admitted packet. `tat` was at least `t1` when the first
//! was charged and grew by each packet's cost, so after the last it is at least `t1 + sum of costs`. But before the last
//! was charged, `max(tat, t2) - t2 <= limit`, so after it `tat <= t2 + limit + cost of the last`. Together: the sum
//! of costs is at most `T + limit + cost of the last`, and `limit + cost of the last <= burst / rate` for a packet of at
//! most a frame. Costs are rounded up, so that bytes are at most costs times rate. For small packets put
//! `limit + reserve` in the place of `limit`. □
//!
//! Why debt and not a strict bucket, which admits what fits: strictly, a packet longer than the bucket never passes
//! (64 kB at 64 kbit/s), and short packets overtake long ones. Neighbour discovery (ARP, ND) is never dropped: it
//! is charged at most up to `limit + reserve`, and stands outside of the theorem.
//!
//! Times are *ticks* of 1/16 ns: at 100 Gbit/s a 64-byte packet lasts 5.12 ns, and whole nanoseconds would be wrong by
//! 15 %. 64 bits of ticks last 36 years of uptime.

/// Ticks in a nanosecond, as a shift: 16.
pub const TICK_SHIFT: u32 = 4;

/// Fraction bits of [`Bucket::ticks_per_byte`].
pub const FRACTION_BITS: u32 = 16;

/// Longer packets are charged as this long: above any that Linux makes (BIG TCP ends at 512 KiB), and small enough
/// that a cost at the lowest rate cannot overflow.
pub const MAX_BYTES: u32 = 1 << 20;

/// How often an update is tried before the packet is given up. Each failure means that another CPU's packet got
/// through in between, so that many in a row mean at least that many admitted packets while one was looked at.
pub const MAX_TRIES: u32 = 8;

/// A bucket's parameters, computed once by user space so that the kernel needs no division.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Bucket {
    /// Ticks that one byte takes at the rate, with [`FRACTION_BITS`] of fraction, rounded up.
    pub ticks_per_byte: u64,
    /// The debt, in ticks, up to which a packet is admitted.
    pub limit: u64,
    /// How much deeper small packets may go, in ticks.
    pub reserve: u64,
}

/// Why a word was not charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too deep in debt.
    Deep,
    /// Other CPUs were faster [`MAX_TRIES`] times running.
    Contended,
}

/// A 64-bit word that all CPUs share.
pub trait Word {
    /// Reads it.
    fn load(&self) -> u64;
    /// Writes it, whatever others do: for words whose accuracy may suffer from a race.
    fn store(&self, new: u64);
    /// Puts `new` in if the word is still `current`; says whether it did.
    fn exchange(&self, current: u64, new: u64) -> bool;
}

/// A time in nanoseconds as ticks.
#[inline(always)]
#[must_use]
pub const fn ticks(ns: u64) -> u64 {
    ns << TICK_SHIFT
}

/// The next `tat` if a packet of this cost is admitted at `now`, else `None`.
#[inline(always)]
#[must_use]
pub const fn offer(tat: u64, now: u64, cost: u64, deepest: u64) -> Option<u64> {
    let debt = tat.saturating_sub(now);
    if debt <= deepest { Some(now + debt + cost) } else { None }
}

/// Charges `cost` to a shared `tat` if the debt is at most `deepest`. Returns the debt before, and how often another
/// CPU came first.
///
/// # Errors
///
/// [`Refused`]; the word is then as it was.
#[inline(always)]
pub fn charge(word: &impl Word, now: u64, cost: u64, deepest: u64) -> (Result<u64, Refused>, u32) {
    let mut tries = 0;
    while tries < MAX_TRIES {
        let tat = word.load();
        let Some(next) = offer(tat, now, cost, deepest) else {
            return (Err(Refused::Deep), tries);
        };
        if word.exchange(tat, next) {
            return (Ok(tat.saturating_sub(now)), tries);
        }
        tries += 1;
    }
    (Err(Refused::Contended), tries)
}

/// Charges a packet that always passes, but never deeper than `deepest`: a flood of such packets must not lock out
/// the rest. If other CPUs are faster [`MAX_TRIES`] times running, it goes uncharged. Returns those times.
#[inline(always)]
pub fn charge_at_most(word: &impl Word, now: u64, cost: u64, deepest: u64) -> u32 {
    let mut tries = 0;
    while tries < MAX_TRIES {
        let tat = word.load();
        let debt = tat.saturating_sub(now);
        let charged = if debt + cost > deepest { deepest } else { debt + cost };
        if word.exchange(tat, now + if charged > debt { charged } else { debt }) {
            break;
        }
        tries += 1;
    }
    tries
}

impl Bucket {
    /// Ticks that `bytes` take at the rate, rounded up.
    #[inline(always)]
    #[must_use]
    pub const fn cost(&self, bytes: u32) -> u64 {
        let bytes = if bytes > MAX_BYTES { MAX_BYTES } else { bytes };
        // At most 2^20 bytes * 2^27 ticks (1 kbit/s) * 2^16: 63 bits.
        (bytes as u64 * self.ticks_per_byte + ((1 << FRACTION_BITS) - 1)) >> FRACTION_BITS
    }
}
