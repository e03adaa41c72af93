//! A limiter's parameters, from what a user asks for.

use core::{fmt, time::Duration};

use crate::{
    bucket::{Bucket, FRACTION_BITS, TICK_SHIFT},
    limiter::{Limiter, SMALL_SHARE_SHIFT},
    units::{Rate, Size},
};

/// The longest burst or reserve: longer ones limit nothing that anybody would notice, and could overflow.
const LONGEST: Duration = Duration::from_secs(3600);

/// The credit at which a policer's bucket is about to run dry: measured as the best for cubic and BBR from 64 kbit/s to
/// 100 Mbit/s at a round trip near zero.
const EARLY: Duration = Duration::from_millis(17);
/// TCP's shortest retransmission timeout (Linux's `TCP_RTO_MIN`). Where it earns fewer frames than this, flows rest.
const TIMEOUT: Duration = Duration::from_millis(200);
const TIMEOUT_FRAMES: u64 = 3;
/// The credit that ends a rest: more than one timeout earns, less than it and the next, which is twice as long. The bucket
/// must be able to hold well more.
const REOPEN: Duration = Duration::from_millis(300);

/// The longest that packets may wait: `fq` itself drops what is ten seconds away.
pub const LONGEST_LATENCY: Duration = Duration::from_secs(4);
/// What TCP's packets may wait for at least: the first window of a connection is ten frames, and may be dropped as little as
/// that of a second one.
const WINDOWS_FRAMES: u64 = 20;
/// A packet that waits longer than this, or for more frames than `MARK_FRAMES`, is marked.
const MARK: Duration = Duration::from_millis(100);
const MARK_FRAMES: u64 = 6;
/// The quiet after which a shaper's queue is empty whatever the timers did.
const GUARD: Duration = Duration::from_millis(4);

/// An epoch of the flow census lasts at least as long as this, and as so many frames.
const EPOCH: Duration = Duration::from_secs(1);
const EPOCH_FRAMES: u64 = 8;

/// What a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// How fast.
    pub rate: Rate,
    /// What may leave at once after a pause.
    pub burst: Size,
    /// The longest frame, overhead included.
    pub frame: Size,
    /// The longest packet that the sender makes: a frame, or several that the device splits later.
    pub longest: Size,
    /// How much deeper into debt small packets may go.
    pub reserve: Duration,
    /// Bytes that the uplink adds to each frame.
    pub overhead: i32,
    /// How long packets may wait (shape): at least for two of the longest, TCP's at least for the first windows of
    /// connections, and no longer than [`LONGEST_LATENCY`]. None: what may not go is dropped (police).
    pub latency: Option<Duration>,
}

/// Parameters that make no limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterError {
    /// The burst lasts longer than an hour at the rate.
    Burst(Size, Rate),
    /// The reserve is longer than an hour.
    Reserve(Duration),
}

impl fmt::Display for ParameterError {
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

impl core::error::Error for ParameterError {}

impl Parameters {
    /// The limiter.
    ///
    /// # Errors
    ///
    /// Burst or reserve last longer than an hour.
    pub fn limiter(&self) -> Result<Limiter, ParameterError> {
        let longest_time = span(LONGEST);
        let burst = self.time_of(self.burst.bytes());
        if burst > longest_time {
            return Err(ParameterError::Burst(self.burst, self.rate));
        }
        if self.reserve > LONGEST {
            return Err(ParameterError::Reserve(self.reserve));
        }
        Ok(match self.latency {
            Some(latency) => self.shaper(burst, latency),
            None => self.policer(burst),
        })
    }

    fn policer(&self, burst: u64) -> Limiter {
        let limit = burst.saturating_sub(self.time_of(self.longest.bytes()));
        Limiter {
            bucket: self.bucket(limit, span(self.reserve)),
            pace: limit,
            fair: limit / 2,
            flow_limit: limit,
            unresponsive: u64::MAX,
            mark: limit / 2,
            early: limit.saturating_sub(span(EARLY)),
            reopen: self.reopen(limit),
            small_limit: span(self.reserve),
            guard: 0,
            epoch_shift: self.epoch_shift(),
            overhead: self.overhead,
        }
    }

    /// The debt at which a flow's rest ends, where flows rest.
    fn reopen(&self, limit: u64) -> u64 {
        let slow = TIMEOUT_FRAMES * self.time_of(self.frame.bytes()) > span(TIMEOUT);
        if slow && limit >= span(REOPEN + REOPEN + TIMEOUT) { limit - span(REOPEN) } else { u64::MAX }
    }

    /// Half of the burst is for the departures, half for the lateness of timers: packets that should have left one by
    /// one and leave together.
    fn shaper(&self, burst: u64, latency: Duration) -> Limiter {
        let (frame, longest) = (self.time_of(self.frame.bytes()), self.time_of(self.longest.bytes()));
        let pace = (burst / 2).saturating_sub(longest);
        let most = span(LONGEST_LATENCY);
        let latency = span(latency).min(most);
        let horizon = latency.max(WINDOWS_FRAMES * frame).min(most).max(2 * longest);
        let limit = pace + horizon;
        Limiter {
            bucket: self.bucket(limit, span(self.reserve) / 2),
            pace,
            fair: pace + horizon / 2,
            flow_limit: limit,
            unresponsive: pace + latency.max(2 * longest),
            mark: pace + span(MARK).max(MARK_FRAMES * frame).min(horizon / 2),
            early: u64::MAX,
            reopen: u64::MAX,
            small_limit: span(self.reserve) / 2,
            guard: span(GUARD),
            epoch_shift: self.epoch_shift(),
            overhead: self.overhead,
        }
    }

    fn bucket(&self, limit: u64, reserve: u64) -> Bucket {
        Bucket { ticks_per_byte: self.ticks_per_byte(), limit, reserve }
    }

    fn ticks_per_byte(&self) -> u64 {
        let bit_ticks = 8_000_000_000_u128 << (TICK_SHIFT + FRACTION_BITS);
        // At most 2^43 at the lowest rate.
        bit_ticks.div_ceil(u128::from(self.rate.bits_per_second())) as u64
    }

    /// Ticks that bytes take at the rate, saturating.
    fn time_of(&self, bytes: u64) -> u64 {
        let ticks = (u128::from(bytes) * u128::from(self.ticks_per_byte())) >> FRACTION_BITS;
        ticks.try_into().unwrap_or(u64::MAX)
    }

    fn epoch_shift(&self) -> u32 {
        span(EPOCH).max(EPOCH_FRAMES * self.time_of(self.frame.bytes())).next_power_of_two().trailing_zeros()
    }
}

impl Limiter {
    /// What small packets may add to the theorem's bound, in bytes (see the module).
    #[must_use]
    pub fn small_bytes(&self, rate: Rate) -> u64 {
        let Self { bucket, pace, small_limit, .. } = self;
        let ahead = if *pace >= bucket.limit {
            bucket.reserve
        } else {
            small_limit + ((bucket.limit + bucket.reserve - pace) >> SMALL_SHARE_SHIFT)
        };
        rate.bytes_in(Duration::from_nanos(ahead >> TICK_SHIFT))
    }

    /// What can wait in the queue, in bytes; 0 when policing.
    #[must_use]
    pub fn horizon_bytes(&self, rate: Rate) -> u64 {
        rate.bytes_in(Duration::from_nanos(self.bucket.limit.saturating_sub(self.pace) >> TICK_SHIFT))
    }
}

/// A time in ticks. An hour is 2^46 of them.
fn span(time: Duration) -> u64 {
    (time.as_nanos() << TICK_SHIFT).try_into().unwrap_or(u64::MAX)
}
