//! Which packet a policer drops, so that it drops few.
//!
//! A policer has no queue that could hold a sender back, only drops, and each costs a retransmission. Where the round
//! trip is short, a sender loses all of what it has in flight when the bucket runs dry, and stalls until its
//! retransmission timer fires. Two things make that cheaper; what they drop would have been dropped anyway, a little
//! later.
//!
//! **A warning.** Losing one packet a little before the bucket is dry makes the window smaller first. So a flow's first
//! packet in the last [`early`](crate::limiter::Limiter::early) of credit is dropped, unless the flow takes marks.
//!
//! **A rest.** A timeout lasts 200 ms. Where that earns hardly more than a frame, one packet goes through after each, what
//! it clocks out is lost again, and the next timeout follows: cubic sends three packets for each that arrives, BBR four,
//! since it takes three rounds without a timeout to leave its start-up (`bbr_check_full_bw_reached` and
//! `bbr_set_state` in Linux's `tcp_bbr.c`). So after every [`REFUSED`]th packet for which a flow that is alone finds the bucket dry,
//! it stays shut out until [`reopen`](crate::limiter::Limiter::reopen) is reached. The bucket keeps what it earns meanwhile,
//! several rounds pass in a row, and BBR learns the rate and paces itself to it.

/// A flow's word: nothing has happened.
pub const OPEN: u64 = 0;
/// One of its packets has been dropped as a warning.
const WARNED: u64 = 1;
/// It is shut out until there is credit.
const RESTS: u64 = 2;
/// The bits that say which; those above count the packets that found the bucket dry.
const STATE: u64 = 3;
const COUNT_SHIFT: u32 = 2;

/// A flow rests after every so many packets that found the bucket dry; a power of two.
pub const REFUSED: u64 = 8;

/// Whether a packet may be offered to the bucket, and the flow's next word.
///
/// `near`: the bucket is about to run dry. `poor`: it has too little for a flow that rests.
#[inline(always)]
#[must_use]
pub const fn judge(word: u64, near: bool, poor: bool) -> (bool, u64) {
    let (state, count) = (word & STATE, word & !STATE);
    if state == RESTS {
        if poor { (false, word) } else { (true, count | OPEN) }
    } else if !near {
        (true, count | OPEN)
    } else if state == OPEN {
        (false, count | WARNED)
    } else {
        (true, word)
    }
}

/// The next word of a flow of which a packet has found the bucket dry.
#[inline(always)]
#[must_use]
pub const fn refused(word: u64) -> u64 {
    let count = word >> COUNT_SHIFT;
    let state = if count & (REFUSED - 1) == 0 { RESTS } else { word & STATE };
    (count + 1) << COUNT_SHIFT | state
}

/// Whether there is nothing to judge: no warning, no rest.
#[inline(always)]
#[must_use]
pub const fn is_open(word: u64) -> bool {
    word & STATE == OPEN
}
