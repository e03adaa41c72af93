//! The daemon's running counters.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use protocol::{
    record::{FrameRecord, Outcome},
    status::EdgeStatus,
};

use crate::lock::lock;

/// Over which time the median latency is taken.
const LATENCY_WINDOW: Duration = Duration::from_secs(1);

/// Counters since the start, shared by all threads.
#[derive(Debug, Default)]
pub struct Counters(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    status: EdgeStatus,
    latencies: VecDeque<(Instant, f64)>,
    last_judged: Option<Instant>,
}

impl Counters {
    /// The source delivered a frame.
    pub fn captured(&self) {
        lock(&self.0).status.captured += 1;
    }

    /// The source had to be opened again.
    pub fn reconnected(&self) {
        lock(&self.0).status.reconnects += 1;
    }

    /// The little model and the mining judged a frame, `edge_ms` after its arrival.
    pub fn judged(&self, hard: bool, edge_ms: f64) {
        let state = &mut *lock(&self.0);
        state.status.inferred += 1;
        state.status.hard += u64::from(hard);
        state.status.queued += u64::from(hard);
        let now = Instant::now();
        state.last_judged = Some(now);
        state.latencies.push_back((now, edge_ms));
        state.forget_old();
    }

    /// A hard frame's upload was begun for the first time.
    pub fn uploaded(&self) {
        lock(&self.0).status.uploaded += 1;
    }

    /// Nothing more can happen to a frame.
    pub fn finished(&self, record: &FrameRecord) {
        let status = &mut lock(&self.0).status;
        let ended = match record.outcome {
            Outcome::Edge => return,
            Outcome::Answered => &mut status.answered,
            Outcome::Expired => &mut status.expired,
            Outcome::Displaced => &mut status.displaced,
            Outcome::Failed => &mut status.failed,
        };
        *ended += 1;
        status.queued = status.queued.saturating_sub(1);
        if record.outcome == Outcome::Answered {
            status.last_cloud_ms = record.timing.cloud_ms;
        }
    }

    /// Another model takes over.
    pub fn model_taken(&self) {
        lock(&self.0).status.model_swaps += 1;
    }

    /// Another model was there and is of no use.
    pub fn model_refused(&self) {
        lock(&self.0).status.model_refusals += 1;
    }

    /// How long ago the last frame was judged; none if none was.
    pub fn since_judged(&self) -> Option<Duration> {
        lock(&self.0).last_judged.map(|at| at.elapsed())
    }

    /// The counters now.
    pub fn snapshot(&self) -> EdgeStatus {
        let state = &mut *lock(&self.0);
        state.forget_old();
        let mut latencies: Vec<f64> = state.latencies.iter().map(|(_, ms)| *ms).collect();
        latencies.sort_by(f64::total_cmp);
        EdgeStatus { edge_ms: latencies.get(latencies.len() / 2).copied(), ..state.status.clone() }
    }
}

impl State {
    fn forget_old(&mut self) {
        while self.latencies.front().is_some_and(|(at, _)| at.elapsed() > LATENCY_WINDOW) {
            self.latencies.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::record::FrameTiming;

    use super::*;

    #[test]
    fn a_hard_frame_is_queued_until_it_ends() {
        let counters = Counters::default();
        counters.judged(false, 1.0);
        counters.judged(true, 3.0);
        counters.judged(true, 2.0);
        let waiting = counters.snapshot();
        assert_eq!((waiting.inferred, waiting.hard, waiting.queued), (3, 2, 2));
        assert_eq!(waiting.edge_ms, Some(2.0));
        let mut record = FrameRecord {
            frame: 0,
            captured_at: String::new(),
            media_time_us: None,
            width: 1,
            height: 1,
            hard: true,
            outcome: Outcome::Answered,
            edge: vec![],
            cloud: Some(vec![]),
            timing: FrameTiming { cloud_ms: Some(7.0), ..FrameTiming::default() },
            upload: None,
        };
        counters.finished(&record);
        record.outcome = Outcome::Displaced;
        counters.finished(&record);
        let ended = counters.snapshot();
        assert_eq!((ended.answered, ended.displaced, ended.queued), (1, 1, 0));
        assert_eq!(ended.last_cloud_ms, Some(7.0));
    }
}
