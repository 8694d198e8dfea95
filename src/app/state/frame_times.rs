//! How long the interface takes for a frame.

use std::{collections::VecDeque, time::Duration};

/// Frames that are looked back on.
pub const KEPT: usize = 240;
/// Work on the interface's thread that nobody feels.
pub const FELT: Duration = Duration::from_millis(8);

/// Times of the last frames: what the interface itself computed, without drawing on the device.
#[derive(Debug, Default)]
pub struct FrameTimes {
    pub(in crate::app) last: VecDeque<Duration>,
    pub(in crate::app) frames: u64,
    pub(in crate::app) slow: u64,
}

impl FrameTimes {
    /// Notes a frame.
    pub fn add(&mut self, took: Duration) {
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(took);
        self.frames += 1;
        self.slow += u64::from(took > FELT);
    }

    /// The last frames, oldest first.
    pub fn last(&self) -> impl Iterator<Item = Duration> + '_ {
        self.last.iter().copied()
    }

    /// Frames since the start.
    pub fn count(&self) -> u64 {
        self.frames
    }

    /// The time that a share of the last frames stays under.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted: Vec<Duration> = self.last().collect();
        sorted.sort_unstable();
        let place = share * sorted.len().saturating_sub(1) as f64;
        sorted.get(place.round() as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_last_frames() {
        let mut times = FrameTimes::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.quantile(1.0), Duration::from_millis(100));
        assert_eq!(times.quantile(0.5), Duration::from_millis(51));
        assert_eq!((times.count(), times.slow), (100, 92));
    }
}
