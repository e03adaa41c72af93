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
/// through in between, so sixteen in a row mean at least that many admitted packets while one was looked at.
pub const MAX_TRIES: u32 = 16;

/// What a packet may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Waits its turn.
    Bulk,
    /// May go deeper into debt by the reserve: at most [`SMALL_BYTES`](crate::wire::SMALL_BYTES) long.
    Small,
    /// Always passes: ARP and IPv6 neighbour discovery, without which the address is lost.
    Neighbour,
}

/// A bucket's parameters, computed once by user space so that the kernel needs no division.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Bucket {
    /// Ticks that one byte takes at the rate, with [`FRACTION_BITS`] of fraction, rounded up. Zero: no limit.
    pub ticks_per_byte: u64,
    /// The debt, in ticks, up to which a packet is admitted.
    pub limit: u64,
    /// How much deeper small packets may go, in ticks.
    pub reserve: u64,
}

/// The end of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted and charged.
    Pass {
        /// Only the reserve let it through.
        from_reserve: bool,
    },
    /// Too deep in debt: not charged.
    Drop,
    /// Other CPUs were faster [`MAX_TRIES`] times running. The packet is dropped, uncharged, so that the theorem
    /// holds whatever happens. (Neighbour discovery passes, uncharged.)
    Contended,
}

/// The word that holds `tat`, shared by all CPUs.
pub trait Cell {
    /// Reads the word.
    fn load(&self) -> u64;
    /// Puts `new` in if the word is still `current`; says whether it did.
    fn exchange(&self, current: u64, new: u64) -> bool;
}

/// A time in nanoseconds as ticks.
#[inline(always)]
#[must_use]
pub const fn ticks(ns: u64) -> u64 {
    ns << TICK_SHIFT
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

    /// The next `tat` if a packet of this cost is admitted at `now`, else `None`.
    #[inline(always)]
    #[must_use]
    pub const fn offer(&self, tat: u64, now: u64, cost: u64, class: Class) -> Option<u64> {
        let debt = tat.saturating_sub(now);
        let deepest = self.limit + self.reserve;
        let free = match class {
            Class::Bulk => debt <= self.limit,
            Class::Small => debt <= deepest,
            Class::Neighbour => {
                // Charged, but never deeper than small packets may go: a flood of ARP must not lock out the rest.
                let charged = debt + cost;
                let charged = if charged > deepest { deepest } else { charged };
                return Some(now + if charged > debt { charged } else { debt });
            }
        };
        if free { Some(now + debt + cost) } else { None }
    }

    /// Offers a packet to the shared bucket. `now` is in ticks. Also returns how often another CPU came first.
    #[inline(always)]
    pub fn admit(&self, cell: &impl Cell, now: u64, bytes: u32, class: Class) -> (Verdict, u32) {
        let cost = self.cost(bytes);
        let mut tries = 0;
        while tries < MAX_TRIES {
            let tat = cell.load();
            let Some(next) = self.offer(tat, now, cost, class) else {
                return (Verdict::Drop, tries);
            };
            if cell.exchange(tat, next) {
                return (Verdict::Pass { from_reserve: tat.saturating_sub(now) > self.limit }, tries);
            }
            tries += 1;
        }
        match class {
            Class::Neighbour => (Verdict::Pass { from_reserve: false }, tries),
            Class::Bulk | Class::Small => (Verdict::Contended, tries),
        }
    }
}

#[cfg(feature = "user")]
pub use user::BucketError;

#[cfg(feature = "user")]
mod user {
    use core::{fmt, time::Duration};

    use super::{Bucket, FRACTION_BITS, TICK_SHIFT};
    use crate::units::{Rate, Size};

    /// The longest burst or reserve: longer ones limit nothing that anybody would notice, and could overflow.
    const LONGEST: Duration = Duration::from_secs(3600);

    /// Parameters that make no bucket.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum BucketError {
        /// The burst lasts longer than an hour at the rate.
        Burst(Size, Rate),
        /// The reserve is longer than an hour.
        Reserve(Duration),
    }

    impl fmt::Display for BucketError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Burst(burst, rate) => {
                    write!(f, "a burst of {burst} lasts more than an hour at {rate}; give a smaller one")
                }
                Self::Reserve(reserve) => {
                    write!(f, "a reserve of {} s is more than an hour; give a shorter one", reserve.as_secs())
                }
            }
        }
    }

    impl core::error::Error for BucketError {}

    impl Bucket {
        /// The bucket for a rate, a burst (of which one `frame` is what the last packet may take) and the reserve of
        /// small packets.
        ///
        /// # Errors
        ///
        /// Burst or reserve last longer than an hour.
        pub fn new(rate: Rate, burst: Size, frame: Size, reserve: Duration) -> Result<Self, BucketError> {
            let ticks_per_byte = ((8_000_000_000_u128 << (TICK_SHIFT + FRACTION_BITS))
                .div_ceil(u128::from(rate.bits_per_second()))) as u64;
            let limit = burst.bytes().saturating_sub(frame.bytes());
            let limit = (u128::from(limit) * u128::from(ticks_per_byte)) >> FRACTION_BITS;
            let longest = LONGEST.as_nanos() << TICK_SHIFT;
            if limit > longest {
                return Err(BucketError::Burst(burst, rate));
            }
            let reserve_ticks = reserve.as_nanos() << TICK_SHIFT;
            if reserve_ticks > longest {
                return Err(BucketError::Reserve(reserve));
            }
            Ok(Self { ticks_per_byte, limit: limit as u64, reserve: reserve_ticks as u64 })
        }
    }
}
