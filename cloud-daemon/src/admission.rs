//! Who may wait for the model: a bounded number, and only those that can be answered in time.
//!
//! The time of an answer is estimated from how many wait, how far the model is, and how long it took for a
//! picture so far. The time to decode a picture is left out: it is small beside the model's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::refusal::Refusal;

/// Weight of the latest batch in the running mean of the time for a picture.
const NEWEST: f64 = 0.3;

/// How much shorter the estimate gets each time that it alone made an idle server refuse. Without this, one slow
/// measurement could refuse all that come after it, and never be corrected.
const DOUBT: f64 = 0.9;

/// The queue's book-keeping, shared by the requests and the worker.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests admitted and not yet taken by the model.
    waiting: usize,
    /// What the model works on: how many pictures, since when.
    running: Option<(usize, Instant)>,
    /// The model's time for a picture.
    per_picture: Duration,
}

impl State {
    /// When the model could take one more picture.
    fn wait(&self, now: Instant) -> Duration {
        let running = self.running.map_or(Duration::ZERO, |(pictures, since)| {
            (self.per_picture * pictures as u32).saturating_sub(now.saturating_duration_since(since))
        });
        running + self.per_picture * self.waiting as u32
    }

    /// Whether one more picture may be answered by `deadline`.
    fn reach(&mut self, deadline: Option<Instant>, now: Instant) -> Result<(), Refusal> {
        let Some(deadline) = deadline else {
            return Ok(());
        };
        let left = deadline.saturating_duration_since(now);
        let wait = self.wait(now);
        let estimate = wait + self.per_picture;
        if left >= estimate {
            return Ok(());
        }
        if self.waiting == 0 && self.running.is_none() {
            self.per_picture = self.per_picture.mul_f64(DOUBT);
        }
        Err(Refusal::DeadlineUnreachable { estimate, left_ms: left.as_millis() as u64, retry_after: wait })
    }
}

impl Admission {
    /// At most `limit` requests wait at a time.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default() })
    }

    /// Whether a request whose picture has yet to come may be answered by `deadline`. It takes no place.
    ///
    /// Unless some of those ahead of it give up, it cannot be answered sooner than this reckons, however quickly
    /// its picture comes.
    ///
    /// # Errors
    ///
    /// [`Refusal::DeadlineUnreachable`].
    pub fn reach(&self, deadline: Option<Instant>) -> Result<(), Refusal> {
        self.state().reach(deadline, Instant::now())
    }

    /// Takes a request in that must be answered by `deadline`.
    ///
    /// # Errors
    ///
    /// [`Refusal::QueueFull`], [`Refusal::DeadlineUnreachable`].
    pub fn admit(self: &Arc<Self>, deadline: Option<Instant>) -> Result<Ticket, Refusal> {
        let now = Instant::now();
        let mut state = self.state();
        if state.waiting >= self.limit {
            return Err(Refusal::QueueFull { waiting: state.waiting, retry_after: state.wait(now) });
        }
        state.reach(deadline, now)?;
        state.waiting += 1;
        Ok(Ticket { admission: Arc::clone(self) })
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// The model begins with `pictures`, whose tickets are given back.
    pub fn begin(&self, pictures: usize) {
        self.state().running = Some((pictures, Instant::now()));
    }

    /// The model has done what it began, or (`answered` false) failed.
    pub fn end(&self, answered: bool) {
        let mut state = self.state();
        let Some((pictures, since)) = state.running.take() else {
            return;
        };
        if answered && pictures > 0 {
            let newest = since.elapsed() / pictures as u32;
            state.per_picture = if state.per_picture.is_zero() {
                newest
            } else {
                newest.mul_f64(NEWEST) + state.per_picture.mul_f64(1.0 - NEWEST)
            };
        }
    }

    /// Whether the model is at work.
    #[cfg(test)]
    pub(crate) fn is_running(&self) -> bool {
        self.state().running.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_time_per_picture(limit: usize, per_picture: Duration) -> Arc<Admission> {
        let admission = Admission::new(limit);
        admission.state().per_picture = per_picture;
        admission
    }

    #[test]
    fn a_full_queue_refuses_until_a_place_is_given_back() {
        let admission = with_time_per_picture(2, Duration::from_secs(3));
        let first = admission.admit(None).unwrap();
        let _second = admission.admit(None).unwrap();
        let refused = Refusal::QueueFull { waiting: 2, retry_after: Duration::from_secs(6) };
        assert_eq!(admission.admit(None).unwrap_err(), refused);
        drop(first);
        assert_eq!(admission.waiting(), 1);
        admission.admit(None).unwrap();
    }

    #[test]
    fn a_deadline_counts_those_ahead() {
        let admission = with_time_per_picture(10, Duration::from_secs(1));
        let in_ms = |ms| Some(Instant::now() + Duration::from_millis(ms));
        assert!(admission.admit(in_ms(900)).is_err());
        let _first = admission.admit(in_ms(1500)).unwrap();
        assert!(matches!(admission.admit(in_ms(1500)), Err(Refusal::DeadlineUnreachable { .. })));
        let _second = admission.admit(in_ms(2500)).unwrap();
        admission.begin(1);
        assert!(admission.admit(in_ms(3500)).is_err());
        assert!(admission.admit(in_ms(4500)).is_ok());
    }

    #[test]
    fn a_picture_that_is_running_counts_by_what_is_left_of_it() {
        let state =
            State { waiting: 0, running: Some((2, Instant::now())), per_picture: Duration::from_secs(1) };
        let (_, since) = state.running.unwrap();
        assert_eq!(state.wait(since + Duration::from_millis(500)), Duration::from_millis(1500));
        assert_eq!(state.wait(since + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn an_estimate_that_only_refuses_is_tried_again_in_time() {
        let admission = with_time_per_picture(10, Duration::from_secs(100));
        let deadline = || Some(Instant::now() + Duration::from_secs(1));
        assert!((0..60).any(|_| admission.admit(deadline()).is_ok()));
    }

    #[test]
    fn failures_are_no_measurements() {
        let admission = with_time_per_picture(10, Duration::from_secs(1));
        admission.begin(1);
        admission.end(false);
        assert_eq!(admission.state().per_picture, Duration::from_secs(1));
        admission.begin(1);
        admission.end(true);
        assert!(admission.state().per_picture < Duration::from_secs(1));
    }
}
