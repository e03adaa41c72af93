//! The decision about one packet: what it owes, whether it goes, and when.
//!
//! One bucket serves both modes. Its debt says how long what has been admitted will take at the rate; the modes differ
//! in what they do with a packet that comes while there is debt:
//!
//! - *police*: it goes at once while the debt is at most `limit`, and is dropped above.
//! - *shape*: while the debt is at most `pace` it goes at once; above, it leaves when the debt will have fallen to
//!   `pace`, and a queue holds it until then. `limit - pace` is the horizon: how long a packet may wait.
//!
//! So the departures keep the theorem of [`bucket`](crate::bucket) with the burst of `pace`: the n-th charge leaves no
//! earlier than `tat - pace`, and `tat` advances by every charge.
//!
//! **Small packets first.** Above `pace` (shape) or `limit` (police), where bulk would wait or be dropped, a small
//! packet may go at once if the *small-packet budget* has room: a second word that fills at
//! `rate / 2^SMALL_SHARE_SHIFT` up to `small_limit`. It is charged to both, so that bulk pays for it afterwards. This adds to the
//! theorem's bound, over any window, at most `rate * reserve` when policing. In shape mode bulk that is already scheduled
//! does not move, so what goes before it comes on top: over a window of length T at most `rate * (small_limit +
//! T / 2^SMALL_SHARE_SHIFT)`, and since the bulk scheduled after it pays within the horizon, never more than
//! `rate * (small_limit + (limit + reserve - pace) / 2^SMALL_SHARE_SHIFT)`. [`Limiter::small_bytes`] gives that number.
//!
//! **Fair shares.** When the debt is above `fair`, a flow must be within its own share (see [`flow`]). Small packets outside
//! of any order, such as name look-ups, pings and the first packets of connections, make no flow while they need no share:
//! one flow of bulk beside them has the whole burst.
//!
//! **Senders that do not slow down.** TCP keeps what waits short by itself, and must not lose packets of its first window. A
//! flow of anything else that owes more than `unresponsive` is admitted only up to that debt: what it sends beyond the rate
//! would otherwise fill the queue to its end, and keep it so.
//!
//! **Marks.** When the debt is above `mark`, packets that say that they understand it are marked (RFC 3168) as well as
//! let through: senders slow down before anything is dropped.

use crate::{
    bucket::{Bucket, Refused, TICK_SHIFT, Word, charge, charge_at_most},
    dropper,
    flow::{self, Flow, Spot, Table},
    wire::{Kind, Measure},
};

/// How an attempt to charge ended, as a number that the verifier can forget.
const ADMITTED: u32 = 0;
const DEEP: u32 = 1;
const CONTENDED: u32 = 2;

/// The share of the rate that small packets may take before bulk, as a shift: a quarter.
pub const SMALL_SHARE_SHIFT: u32 = 2;

/// The parameters of a limit, computed once by user space so that the kernel needs no division.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Limiter {
    /// The aggregate bucket. `ticks_per_byte` of zero: no limit.
    pub bucket: Bucket,
    /// The debt, in ticks, up to which a packet goes at once: `bucket.limit` or more when policing.
    pub pace: u64,
    /// The debt above which a flow must be within its share.
    pub fair: u64,
    /// What a flow may owe at its share.
    pub flow_limit: u64,
    /// What a flow that is not TCP's may owe at its share before it is held to this debt itself.
    pub unresponsive: u64,
    /// The debt above which packets are marked.
    pub mark: u64,
    /// The debt above which the bucket is about to run dry (see [`dropper`]).
    pub early: u64,
    /// The debt to which the bucket must have fallen for a flow that rests; `u64::MAX`: none does.
    pub reopen: u64,
    /// The room of the small-packet budget.
    pub small_limit: u64,
    /// The quiet, in ticks, after which nothing can be in the queue any more.
    pub guard: u64,
    /// An epoch of the flow census lasts two to the power of this many ticks.
    pub epoch_shift: u32,
    /// Bytes that the uplink adds to each frame (negative: that it saves).
    pub overhead: i32,
}

/// What a limit remembers, in words that all CPUs share.
pub trait State: Table {
    /// The aggregate's theoretical arrival time.
    fn total(&self) -> Self::Word;
    /// The small-packet budget's.
    fn small(&self) -> Self::Word;
}

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes now.
    Pass {
        /// Before bulk, on the small-packet budget.
        first: bool,
        /// With a congestion mark.
        mark: bool,
    },
    /// It goes through the queue, which holds it until its time has come.
    Wait {
        /// The time, in nanoseconds of the clock that `now` is of.
        departure: u64,
        /// With a congestion mark.
        mark: bool,
    },
    /// It is dropped, uncharged.
    Drop(Cause),
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The debt is above the limit.
    Limit,
    /// Its flow has had its share.
    Share,
    /// So that its sender loses fewer afterwards (see [`dropper`]).
    Early,
    /// Other CPUs changed the bucket first, too often in a row.
    Contended,
}

impl Limiter {
    /// Decides about a packet at `now` (in ticks) and charges for it. Also returns how often another CPU came first.
    #[inline(always)]
    pub fn decide(&self, state: &impl State, now: u64, packet: &Measure) -> (Verdict, u32) {
        let cost = self.bucket.cost(packet.bytes);
        let deepest = self.bucket.limit + self.bucket.reserve;
        let kind = Kind(state.forget(packet.kind.0));
        if kind.is(Kind::NEIGHBOUR) {
            let retries = charge_at_most(&state.total(), now, cost, deepest);
            return (Verdict::Pass { first: false, mark: false }, retries);
        }
        let debt = state.total().load().saturating_sub(now);
        let busy = if self.fair < self.pace { self.fair } else { self.pace };
        let first = debt > busy;
        let spot = flow::seek(state, packet.flow);
        if self.goes_apart(state, now, cost, kind, spot, first) {
            let deepest = if first { deepest } else { self.pace };
            return match self.charge(state, now, cost, deepest) {
                (Ok(_), retries) => (Verdict::Pass { first, mark: false }, retries),
                (Err(cause), retries) => (Verdict::Drop(cause), retries),
            };
        }
        let flow = flow::take(state, spot, packet.flow, now, debt, self.epoch_shift);
        let over = debt > self.fair && flow.debt > debt;
        if over && flow.debt > self.flow_limit {
            return (Verdict::Drop(Cause::Share), 0);
        }
        let owed = if over { flow.debt } else { debt };
        if self.dropped_early(state, &flow, debt, owed, kind) {
            return (Verdict::Drop(Cause::Early), 0);
        }
        // What the queue cannot hold is policed at the debt up to which packets go at once.
        let at_once = !kind.is(Kind::SCHEDULABLE) && self.pace < self.bucket.limit;
        let at_once = state.forget(at_once.into()) != 0;
        let unresponsive = !kind.is(Kind::TCP) && flow.debt > self.unresponsive;
        let unresponsive = state.forget(unresponsive.into()) != 0;
        let deepest = if at_once {
            self.pace
        } else if unresponsive {
            self.unresponsive
        } else {
            self.bucket.limit
        };
        let (charged, retries) = self.charge(state, now, cost, deepest);
        let debt = match charged {
            Ok(debt) => debt,
            Err(cause) => {
                if self.reopen != u64::MAX && flow.active == 1 {
                    flow.set(state, dropper::refused(flow.word(state)));
                }
                return (Verdict::Drop(cause), retries);
            }
        };
        flow.charge(state, now, cost, self.flow_limit);
        let mark = kind.is(Kind::ECN) && debt > self.mark;
        let verdict = if debt + self.guard <= self.pace || at_once {
            Verdict::Pass { first: false, mark }
        } else {
            Verdict::Wait { departure: (now + debt.saturating_sub(self.pace)) >> TICK_SHIFT, mark }
        };
        (verdict, retries)
    }

    /// Charges the aggregate. The verifier is made to forget how many tries it took.
    #[inline(always)]
    fn charge(&self, state: &impl State, now: u64, cost: u64, deepest: u64) -> (Result<u64, Cause>, u32) {
        let (charged, retries) = charge(&state.total(), now, cost, deepest);
        let (debt, refused) = match charged {
            Ok(debt) => (debt, ADMITTED),
            Err(Refused::Deep) => (0, DEEP),
            Err(Refused::Contended) => (0, CONTENDED),
        };
        let charged = match state.forget(refused) {
            ADMITTED => Ok(debt),
            DEEP => Err(Cause::Limit),
            _ => Err(Cause::Contended),
        };
        (charged, state.forget(retries))
    }

    /// Whether the packet is dropped so that its sender loses fewer afterwards. The flow `owes`, all flows together
    /// have the `debt`.
    #[inline(always)]
    fn dropped_early(&self, state: &impl State, flow: &Flow, debt: u64, owed: u64, kind: Kind) -> bool {
        let word = flow.word(state);
        let near = owed > self.early && !kind.is(Kind::ECN);
        if !near && dropper::is_open(word) {
            return false;
        }
        let poor = debt > self.reopen && flow.active == 1;
        let (offered, next) = dropper::judge(word, near, poor);
        if next != word {
            flow.set(state, next);
        }
        state.forget(offered.into()) == 0
    }

    /// Whether a packet goes apart from the flows: it is small, and if it is to go `first`, before bulk, within the budget
    /// and not out of its flow's order; else of no order, and of no flow that shares the rate.
    #[inline(always)]
    fn goes_apart(
        &self,
        state: &impl State,
        now: u64,
        cost: u64,
        kind: Kind,
        spot: Spot,
        first: bool,
    ) -> bool {
        if !kind.is(Kind::SMALL) {
            return false;
        }
        let in_order = kind.is(Kind::IN_ORDER);
        if !first {
            return !in_order && !spot.known;
        }
        if in_order && spot.debt(state, now) > 0 {
            return false;
        }
        charge(&state.small(), now, cost << SMALL_SHARE_SHIFT, self.small_limit).0.is_ok()
    }
}
