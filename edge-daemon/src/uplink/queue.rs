//! Hard frames that wait for the uplink.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use super::HardFrame;
use crate::lock::lock;

/// A bounded queue, oldest frame first in memory, newest first out.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
    /// For a thread that waits for room.
    room: Condvar,
    /// For tasks that wait for a change.
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    waiting: Vec<HardFrame>,
    patient: bool,
    closed: bool,
}

impl Queue {
    /// A `patient` queue makes [`Self::push`] wait for room.
    pub(super) fn new(capacity: usize, patient: bool) -> Self {
        let state = Mutex::new(State { waiting: Vec::new(), patient, closed: false });
        Self { capacity, state, room: Condvar::new(), changes: watch::Sender::new(()) }
    }

    /// Adds `frame` at the place of its number, once there is room if the queue is patient; returns the oldest
    /// frame if there is no room for all.
    pub(super) fn push(&self, frame: HardFrame) -> Option<HardFrame> {
        let full = |state: &mut State| state.waiting.len() >= self.capacity && state.patient;
        let state = self.room.wait_while(lock(&self.state), full).unwrap_or_else(PoisonError::into_inner);
        self.add(state, frame)
    }

    /// Like [`Self::push`], but never waits: for a frame that was taken out before.
    pub(super) fn put_back(&self, frame: HardFrame) -> Option<HardFrame> {
        self.add(lock(&self.state), frame)
    }

    /// Waits for room no longer.
    pub(super) fn lose_patience(&self) {
        lock(&self.state).patient = false;
        self.room.notify_all();
    }

    fn add(&self, mut state: MutexGuard<'_, State>, frame: HardFrame) -> Option<HardFrame> {
        let place = state.waiting.partition_point(|waiting| waiting.frame.number < frame.frame.number);
        state.waiting.insert(place, frame);
        let displaced = (state.waiting.len() > self.capacity).then(|| state.waiting.remove(0));
        drop(state);
        self.changes.send_replace(());
        displaced
    }

    /// The newest frame.
    pub(super) fn take_newest(&self) -> Option<HardFrame> {
        let newest = lock(&self.state).waiting.pop();
        self.room.notify_all();
        newest
    }

    /// All frames whose deadline is not after `now`.
    pub(super) fn take_expired(&self, now: Instant) -> Vec<HardFrame> {
        let due = |frame: &mut HardFrame| frame.deadline <= now;
        let expired: Vec<_> = lock(&self.state).waiting.extract_if(.., due).collect();
        if !expired.is_empty() {
            self.room.notify_all();
            // The queue may be finished now.
            self.changes.send_replace(());
        }
        expired
    }

    /// All frames, oldest first.
    pub(super) fn take_all(&self) -> Vec<HardFrame> {
        let all = std::mem::take(&mut lock(&self.state).waiting);
        self.room.notify_all();
        all
    }

    /// The next deadline to pass.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        lock(&self.state).waiting.iter().map(|frame| frame.deadline).min()
    }

    /// No new frames will come.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.changes.send_replace(());
    }

    /// Whether it is closed and empty.
    pub(super) fn is_finished(&self) -> bool {
        let state = lock(&self.state);
        state.closed && state.waiting.is_empty()
    }

    /// Tells of every new frame and of the end.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use image::RgbImage;
    use protocol::record::FrameTiming;

    use super::*;
    use crate::{frame::Frame, little::Judged};

    fn frame(number: u64, deadline: Duration) -> HardFrame {
        let frame = Frame {
            number,
            captured_at: SystemTime::UNIX_EPOCH,
            arrived: Instant::now(),
            media_time_us: None,
            image: RgbImage::new(1, 1),
        };
        let judged = Judged {
            at: frame.arrived,
            frame: frame.into(),
            edge: vec![],
            hard: true,
            timing: FrameTiming::default(),
        };
        HardFrame::new(judged, deadline)
    }

    fn numbers(frames: Vec<HardFrame>) -> Vec<u64> {
        frames.iter().map(|frame| frame.frame.number).collect()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn newest_out_first_and_oldest_displaced() {
        let queue = Queue::new(3, false);
        let displaced: Vec<_> = (0..5)
            .filter_map(|number| queue.push(frame(number, LONG)))
            .map(|frame| frame.frame.number)
            .collect();
        assert_eq!(displaced, [0, 1]);
        assert_eq!(queue.take_newest().unwrap().frame.number, 4);
        assert_eq!(numbers(queue.take_all()), [2, 3]);
    }

    #[test]
    fn a_frame_put_back_keeps_its_place() {
        let queue = Queue::new(2, false);
        queue.push(frame(5, LONG));
        queue.push(frame(3, LONG));
        assert_eq!(queue.push(frame(2, LONG)).unwrap().frame.number, 2);
        assert_eq!(queue.push(frame(4, LONG)).unwrap().frame.number, 3);
        assert_eq!(numbers(queue.take_all()), [4, 5]);
    }

    #[test]
    fn deadlines() {
        let queue = Queue::new(3, false);
        queue.push(frame(0, Duration::ZERO));
        queue.push(frame(1, LONG));
        assert!(queue.first_deadline().unwrap() <= Instant::now());
        assert_eq!(numbers(queue.take_expired(Instant::now())), [0]);
        assert_eq!(numbers(queue.take_all()), [1]);
        assert_eq!(queue.first_deadline(), None);
    }

    #[test]
    fn waiting_for_room_loses_nothing() {
        let queue = Queue::new(1, true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..50 {
                    assert!(queue.push(frame(number, LONG)).is_none());
                }
                queue.close();
            });
            let mut taken = 0;
            while !queue.is_finished() {
                taken += usize::from(queue.take_newest().is_some());
                std::thread::yield_now();
            }
            assert_eq!(taken, 50);
        });
    }

    #[test]
    fn patience_can_be_lost() {
        let queue = Queue::new(1, true);
        queue.push(frame(0, LONG));
        std::thread::scope(|scope| {
            let displaced = scope.spawn(|| queue.push(frame(1, LONG)));
            queue.lose_patience();
            assert_eq!(displaced.join().unwrap().unwrap().frame.number, 0);
        });
        assert_eq!(queue.put_back(frame(2, LONG)).unwrap().frame.number, 1);
    }
}
