//! Which image of the ground truth a media time belongs to.

/// How far apart the times of the same frame may be, in microseconds: containers round times to their own units,
/// a millisecond at the coarsest. Frames are at least 16 ms apart.
const TOLERANCE_US: u64 = 2_000;

/// Times of images, in order.
#[derive(Debug, Clone)]
pub(super) struct Timeline(Vec<(u64, usize)>);

impl Timeline {
    /// Takes the times of images in the order of their indices; those without a time cannot be found.
    pub(super) fn new(times: impl Iterator<Item = Option<u64>>) -> Self {
        let mut times: Vec<_> = times.enumerate().filter_map(|(index, time)| Some((time?, index))).collect();
        times.sort_unstable();
        Self(times)
    }

    /// The index of the image that is shown at `time_us`.
    pub(super) fn find(&self, time_us: u64) -> Option<usize> {
        let after = self.0.partition_point(|(time, _)| *time < time_us);
        let neighbours = &self.0[after.saturating_sub(1)..(after + 1).min(self.0.len())];
        let nearest = neighbours.iter().min_by_key(|(time, _)| time.abs_diff(time_us))?;
        (nearest.0.abs_diff(time_us) <= TOLERANCE_US).then_some(nearest.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_within_reach() {
        let timeline = Timeline::new([Some(40_000), None, Some(0), Some(80_000)].into_iter());
        assert_eq!(timeline.find(0), Some(2));
        assert_eq!(timeline.find(39_999), Some(0));
        assert_eq!(timeline.find(41_000), Some(0));
        assert_eq!(timeline.find(80_001), Some(3));
        assert_eq!(timeline.find(60_000), None);
        assert_eq!(timeline.find(u64::MAX), None);
        assert_eq!(Timeline::new([].into_iter()).find(0), None);
    }
}
