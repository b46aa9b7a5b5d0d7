//! How long something took, counted in classes. Written by one worker, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts of one worker.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [Duration],
    /// One for each bound, and one for what is beyond the last.
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

/// What several workers have counted.
#[derive(Debug)]
pub(super) struct Observed {
    /// Upper bounds in seconds, each with how often it took no longer, but longer than the one before.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) seconds: f64,
}

impl Histogram {
    /// With these upper bounds of its classes, the shortest first.
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, took: Duration) {
        let class = self.bounds.partition_point(|bound| *bound < took);
        self.counts[class].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The sum of histograms with the same `bounds`.
    pub(super) fn sum<'a>(
        bounds: &'static [Duration],
        histograms: impl Iterator<Item = &'a Self>,
    ) -> Observed {
        let mut counts = vec![0; bounds.len() + 1];
        let mut nanoseconds = 0;
        for histogram in histograms {
            for (sum, count) in counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            nanoseconds += histogram.nanoseconds.load(Ordering::Relaxed);
        }
        let bounds = bounds.iter().map(Duration::as_secs_f64);
        Observed {
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
            seconds: Duration::from_nanos(nanoseconds).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[Duration] = &[Duration::from_millis(1), Duration::from_secs(2)];

    #[test]
    fn a_duration_falls_into_the_first_class_that_holds_it() {
        let (first, second) = (Histogram::new(BOUNDS), Histogram::new(BOUNDS));
        for milliseconds in [0, 1, 2, 2000, 2001] {
            first.observe(Duration::from_millis(milliseconds));
        }
        second.observe(Duration::from_millis(500));
        let observed = Histogram::sum(BOUNDS, [&first, &second].into_iter());
        assert_eq!(observed.buckets, [(0.001, 2), (2.0, 3)]);
        assert_eq!(observed.count, 6);
        assert!((observed.seconds - 4.504).abs() < 1e-9);
    }
}
