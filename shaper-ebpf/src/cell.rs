//! A limit's words in a map, shared by all CPUs.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};

use shaper_common::{
    bucket::Word,
    flow::{FLOWS, Table},
    layout, limiter,
};

use crate::{pacing, packet::Skb};

/// A `u64` in a map.
pub(crate) struct MapWord(*mut u64);

impl Word for MapWord {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: valid by `MapState`'s contract; volatile, so that every try reads what others have written.
        unsafe { core::ptr::read_volatile(self.0) }
    }

    #[inline(always)]
    fn store(&self, new: u64) {
        // SAFETY: valid by `MapState`'s contract; aligned 64-bit stores are single instructions.
        unsafe { core::ptr::write_volatile(self.0, new) }
    }

    #[inline(always)]
    fn exchange(&self, current: u64, new: u64) -> bool {
        // SAFETY: valid by `MapState`'s contract.
        unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(self.0, current, new) }.1
    }
}

/// A [`layout::State`] in a map, and the packet that it is asked about.
pub(crate) struct MapState {
    state: *mut layout::State,
    skb: Skb,
    key: layout::Key,
    /// Whether its sender is told how fast it may go.
    paced: bool,
}

impl MapState {
    /// `state` comes from a map's look-up: valid and aligned for as long as the program runs.
    #[inline(always)]
    pub(crate) fn new(state: *mut layout::State, skb: Skb, key: layout::Key) -> Self {
        Self { state, skb, key, paced: false }
    }

    /// Says whether the packet's sender is to be told how fast it may go.
    #[inline(always)]
    pub(crate) fn pace_senders(&mut self, paced: bool) {
        self.paced = paced;
    }

    #[inline(always)]
    fn place(&self, place: u32) -> *mut layout::Place {
        // SAFETY: within the array, by the remainder, which is also what the verifier goes by.
        unsafe { (&raw mut (*self.state).flows).cast::<layout::Place>().add((place % FLOWS) as usize) }
    }
}

impl Table for MapState {
    type Word = MapWord;

    #[inline(always)]
    fn key(&self, place: u32) -> MapWord {
        // SAFETY: a field of a valid place.
        MapWord(unsafe { &raw mut (*self.place(place)).key })
    }

    #[inline(always)]
    fn arrival(&self, place: u32) -> MapWord {
        // SAFETY: a field of a valid place.
        MapWord(unsafe { &raw mut (*self.place(place)).arrival })
    }

    #[inline(always)]
    fn dropper(&self, place: u32) -> MapWord {
        // SAFETY: a field of a valid place.
        MapWord(unsafe { &raw mut (*self.place(place)).dropper })
    }

    #[inline(always)]
    fn census(&self) -> MapWord {
        // SAFETY: a field of a valid state.
        MapWord(unsafe { &raw mut (*self.state).census })
    }

    #[inline(always)]
    fn counted(&self) {
        if self.paced {
            pacing::note(self.skb, self.key);
        }
    }

    #[inline(always)]
    fn zero(&self) -> u64 {
        // SAFETY: a field of a valid state; volatile, so that the compiler does not merge the loads either.
        unsafe { core::ptr::read_volatile(&raw const (*self.state).zero) }
    }
}

impl limiter::State for MapState {
    #[inline(always)]
    fn total(&self) -> MapWord {
        // SAFETY: a field of a valid state.
        MapWord(unsafe { &raw mut (*self.state).total })
    }

    #[inline(always)]
    fn small(&self) -> MapWord {
        // SAFETY: a field of a valid state.
        MapWord(unsafe { &raw mut (*self.state).small })
    }
}
