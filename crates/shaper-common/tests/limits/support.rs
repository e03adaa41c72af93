//! A limit's words on the host, and packets to offer to it.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use shaper_common::{
    bucket::Word,
    flow::{FLOWS, Table},
    limiter::{Limiter, State},
    parameters::Parameters,
    units::{Rate, Size},
    wire::{Kind, Measure},
};

pub(crate) const FRAME: u32 = 1514;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A reference to a word, as the maps of the kernel give it.
#[derive(Clone, Copy)]
pub(crate) struct Ref<'a>(pub(crate) &'a AtomicU64);

impl Word for Ref<'_> {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn store(&self, new: u64) {
        self.0.store(new, SeqCst);
    }

    fn exchange(&self, current: u64, new: u64) -> bool {
        self.0.compare_exchange(current, new, SeqCst, SeqCst).is_ok()
    }
}

/// All words of one limit.
pub(crate) struct Words {
    total: AtomicU64,
    small: AtomicU64,
    census: AtomicU64,
    places: Vec<[AtomicU64; 3]>,
}

impl Default for Words {
    fn default() -> Self {
        let word = || AtomicU64::new(0);
        let places = (0..FLOWS).map(|_| [word(), word(), word()]).collect();
        Self { total: word(), small: word(), census: word(), places }
    }
}

impl<'a> Table for &'a Words {
    type Word = Ref<'a>;

    fn key(&self, place: u32) -> Ref<'a> {
        Ref(&self.places[place as usize][0])
    }

    fn arrival(&self, place: u32) -> Ref<'a> {
        Ref(&self.places[place as usize][1])
    }

    fn dropper(&self, place: u32) -> Ref<'a> {
        Ref(&self.places[place as usize][2])
    }

    fn census(&self) -> Ref<'a> {
        Ref(&self.census)
    }

    fn zero(&self) -> u64 {
        0
    }
}

impl<'a> State for &'a Words {
    fn total(&self) -> Ref<'a> {
        Ref(&self.total)
    }

    fn small(&self) -> Ref<'a> {
        Ref(&self.small)
    }
}

/// A limiter and the burst that it promises.
pub(crate) fn limiter(rate: u64, burst: u64, reserve_ms: u64, shape: bool) -> Limiter {
    parameters(rate, burst, reserve_ms, shape).limiter().unwrap()
}

pub(crate) fn parameters(rate: u64, burst: u64, reserve_ms: u64, shape: bool) -> Parameters {
    Parameters {
        rate: Rate::from_bits_per_second(rate).unwrap(),
        burst: Size::from_bytes(burst),
        frame: Size::from_bytes(FRAME.into()),
        longest: Size::from_bytes(FRAME.into()),
        reserve: Duration::from_millis(reserve_ms),
        overhead: 0,
        latency: shape.then_some(Duration::from_millis(50)),
    }
}

/// A bulk packet of a flow.
pub(crate) fn bulk(bytes: u32, flow: u32) -> Measure {
    Measure { bytes, segments: 1, kind: Kind(Kind::SCHEDULABLE), flow }
}

/// A small packet that may go before bulk.
pub(crate) fn small(bytes: u32, flow: u32) -> Measure {
    Measure { bytes, segments: 1, kind: Kind(Kind::SMALL | Kind::SCHEDULABLE), flow }
}
