//! Which processors a worker may wake on: not the one that the caller runs on.
//!
//! Linux wakes a thread on the processor on which it slept, even if that is busy and few others are there to be looked at. A
//! worker would share the caller's processor then for many layers, while another one has nothing to do.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::{Pid, gettid};

/// In place of a processor: the thread does not sleep.
const AWAKE: usize = usize::MAX;

/// A worker's affinity from when it falls asleep until it is awake.
#[derive(Debug)]
pub(super) struct Affinity {
    /// The worker's number in the system.
    thread: AtomicI32,
    /// The processor on which it sleeps.
    processor: AtomicUsize,
    /// The processors that it may use again when it has been sent away from one.
    allowed: Mutex<Option<CpuSet>>,
}

impl Default for Affinity {
    fn default() -> Self {
        Self { thread: AtomicI32::new(0), processor: AtomicUsize::new(AWAKE), allowed: Mutex::default() }
    }
}

impl Affinity {
    /// The worker is about to sleep.
    pub(super) fn before_sleep(&self) {
        self.thread.store(gettid().as_raw(), Ordering::Relaxed);
        self.processor.store(sched_getcpu().unwrap_or(AWAKE), Ordering::Release);
    }

    /// The worker is awake.
    pub(super) fn after_sleep(&self) {
        if self.processor.swap(AWAKE, Ordering::AcqRel) == AWAKE {
            return;
        }
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(allowed) = allowed {
            // Where the system forbids it, the worker goes on without that processor.
            let _ = sched_setaffinity(Pid::from_raw(0), &allowed);
        }
    }

    /// Sends a worker that sleeps on the caller's processor to wake on another one, if it may use any.
    pub(super) fn avoid_caller(&self) {
        let processor = self.processor.load(Ordering::Acquire);
        if processor == AWAKE || sched_getcpu() != Ok(processor) {
            return;
        }
        let worker = Pid::from_raw(self.thread.load(Ordering::Relaxed));
        let mut kept = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_some() {
            return;
        }
        let Ok(allowed) = sched_getaffinity(worker) else { return };
        let mut others = allowed;
        let away = others.unset(processor).and_then(|()| sched_setaffinity(worker, &others));
        if away.is_ok() {
            *kept = Some(allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// What processors a sleeping worker may use while the caller runs where it sleeps, and once it is awake.
    fn disturbed(may_use: Option<usize>) -> (usize, CpuSet, CpuSet) {
        let this = Pid::from_raw(0);
        let affinity = &Affinity::default();
        let (sleeps, asleep) = mpsc::channel();
        let (calls, called) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                if let Some(processor) = may_use {
                    sched_setaffinity(this, &only(processor)).unwrap();
                }
                affinity.before_sleep();
                sleeps.send(()).unwrap();
                called.recv().unwrap();
                affinity.after_sleep();
                sched_getaffinity(this).unwrap()
            });
            asleep.recv().unwrap();
            let processor = affinity.processor.load(Ordering::Acquire);
            let before = sched_getaffinity(this).unwrap();
            sched_setaffinity(this, &only(processor)).unwrap();
            affinity.avoid_caller();
            sched_setaffinity(this, &before).unwrap();
            let while_asleep =
                sched_getaffinity(Pid::from_raw(affinity.thread.load(Ordering::Relaxed))).unwrap();
            calls.send(()).unwrap();
            (processor, while_asleep, worker.join().unwrap())
        })
    }

    fn only(processor: usize) -> CpuSet {
        let mut set = CpuSet::new();
        set.set(processor).unwrap();
        set
    }

    #[test]
    fn a_sleeper_is_sent_from_the_callers_processor_and_may_come_back() {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let (processor, asleep, awake) = disturbed(None);
        let mut others = allowed;
        others.unset(processor).unwrap();
        // Nowhere to go on a machine with one processor.
        assert_eq!(asleep, if others == CpuSet::new() { allowed } else { others });
        assert_eq!(awake, allowed);
    }

    #[test]
    fn who_may_use_no_other_processor_stays() {
        let here = sched_getcpu().unwrap();
        let (processor, asleep, awake) = disturbed(Some(here));
        assert_eq!((processor, asleep, awake), (here, only(here), only(here)));
    }
}
