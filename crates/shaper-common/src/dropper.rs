//! Which packet a policer drops, so that it drops few.
//!
//! A policer has no queue that could hold a sender back, only drops, and each costs a retransmission. Where the bucket is
//! about to run dry, a sender with a large window loses all of what it has in flight. Losing one packet a little before
//! makes the window smaller first: so one packet of such a sender is dropped early, once before the bucket runs dry. A
//! window that TCP will not make smaller anyway is left alone.
//!
//! What the sender's TCP is doing the kernel knows for sockets of this machine, which is where containers' are. All
//! others are simply dropped when the bucket is empty.

/// A flow's word: nothing has happened.
pub const OPEN: u64 = 0;
/// One of its packets has been dropped early.
const WARNED: u64 = 1;

/// Whether a packet may be offered to the bucket, whose debt is above (`near`) or below the one from which on it is about
/// to run dry; and the flow's next word.
#[inline(always)]
#[must_use]
pub const fn judge(word: u64, near: bool) -> (bool, u64) {
    if !near {
        (true, OPEN)
    } else if word == OPEN {
        (false, WARNED)
    } else {
        (true, word)
    }
}
