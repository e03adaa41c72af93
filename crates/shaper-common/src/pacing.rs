//! How fast a sender may be told to go, so that a policer has nothing to drop.
//!
//! A policer cannot hold packets back, but the sender's own TCP can: it spaces its packets by a rate that it is told
//! (`SO_MAX_PACING_RATE`). Each flow is told the same *pace*, by the debt that all flows together have and by how many
//! they are:
//!
//! ```text
//! pace = 2 * rate / (1 + (2 * flows - 1) * debt / settle)
//! ```
//!
//! so the time that a byte is given grows with the debt in a straight line. Without debt a flow may go at twice the rate;
//! at `settle` it may go at its share, `rate / flows`. There the debt stays when all of them send (an integrator under
//! proportional control, whose gain is at most `1 / settle` for any number of flows). Where some send less than
//! their share, the debt settles lower and leaves the others more: nothing of the rate is lost.
//!
//! A sender that does not do as it is told gains nothing: the bucket does not know of paces.

use crate::bucket::{Bucket, FRACTION_BITS, TICK_SHIFT};

/// What `SO_MAX_PACING_RATE` takes for "as fast as you can".
pub const UNPACED: u32 = u32::MAX;

/// The debt at which flows settle, in eighths of the limit: below where packets are marked.
const SETTLE_EIGHTHS: u64 = 3;
/// Fraction bits of a debt as a part of `settle`.
const FRACTION: u32 = 8;

/// The pace in bytes a second, when `flows` share the rate and have the `debt` (in ticks) together. [`UNPACED`] where a
/// pace does not fit the 32 bits that it is told in, or there is no limit.
#[inline(always)]
#[must_use]
pub const fn pace(bucket: &Bucket, debt: u64, flows: u32) -> u32 {
    let second = 1_000_000_000_u64 << (TICK_SHIFT + FRACTION_BITS);
    let Some(rate) = second.checked_div(bucket.ticks_per_byte) else { return UNPACED };
    let debt = if debt < bucket.limit { debt } else { bucket.limit };
    let settle = bucket.limit * SETTLE_EIGHTHS / 8;
    // A limit is an hour at most, 2^46 ticks; where there is none, a flow gets its share.
    let part = match (debt << FRACTION).checked_div(settle) {
        Some(part) => part,
        None => 1 << FRACTION,
    };
    let slower = (1 << FRACTION) + (2 * flows as u64 - 1) * part;
    match ((2 * rate) << FRACTION).checked_div(slower) {
        Some(pace) if pace < UNPACED as u64 => pace as u32,
        _ => UNPACED,
    }
}
