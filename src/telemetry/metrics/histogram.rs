//! The histogram of one worker.
//!
//! `prometheus_client` has one that is shared behind a mutex. This one takes no lock: its worker
//! writes it, and only exposition reads it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// A histogram of durations.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper bounds in seconds, in ascending order.
    upper_bounds: &'static [f64],
    /// One count for each bound, and one for durations above the last.
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            upper_bounds: bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.upper_bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Encodes the sum of histograms that have these bounds.
    pub(super) fn encode_sum<'a>(
        bounds: &[f64],
        histograms: impl Iterator<Item = &'a Self>,
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let mut counts = vec![0; bounds.len() + 1];
        let mut nanoseconds = 0;
        for histogram in histograms {
            for (sum, count) in counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            nanoseconds += histogram.nanoseconds.load(Ordering::Relaxed);
        }
        let total = counts.iter().sum();
        let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(counts).collect();
        let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, total, &buckets, None)
    }
}
