//! The rate limit of recording. It bounds the cost of the inspector whatever the traffic is; no one
//! can read more requests.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// How many requests are recorded in a second, and at once. Each takes about 20 µs of processor time
/// (`tests/bench/RESULTS.md`), so together they take a fiftieth of a core.
const RATE: u64 = 1_000;
const BURST: u64 = 500;

/// The bytes of bodies that cost as much as a request.
const BODY: usize = 8 * 1024;

/// The share of a second that each request takes, in nanoseconds.
const EACH: u64 = 1_000_000_000 / RATE;

/// A bucket that all workers take from: when it would be full again, in nanoseconds since it was made.
#[derive(Debug)]
pub(super) struct RateLimit {
    made: Instant,
    full: AtomicU64,
}

impl RateLimit {
    /// A full bucket.
    pub(super) fn new(now: Instant) -> Self {
        let (made, full) = (now, AtomicU64::new(0));
        Self { made, full }
    }

    /// Takes one request from the bucket; false if it is empty.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let now = u64::try_from((now - self.made).as_nanos()).unwrap_or(u64::MAX);
        let taken =
            |full: u64| Some(full.max(now) + EACH).filter(|full| *full <= now + BURST * EACH);
        let relaxed = Ordering::Relaxed;
        self.full.fetch_update(relaxed, relaxed, taken).is_ok()
    }

    /// Takes bytes of a body, which are recorded in any case.
    pub(super) fn add(&self, bytes: usize) {
        let cost = EACH * bytes as u64 / BODY as u64;
        self.full.fetch_add(cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_recorded_whole_and_then_as_many_as_the_rate_says() {
        let start = Instant::now();
        let limit = RateLimit::new(start);
        let allowed = |at: Duration| (0..2_000).filter(|_| limit.allows(start + at)).count();
        let at = Duration::from_millis;
        assert_eq!(allowed(at(0)), 500);
        assert_eq!(
            [allowed(at(2)), allowed(at(102)), allowed(at(102))],
            [2, 100, 0]
        );
        // After a pause of any length there is room for one burst.
        assert_eq!([allowed(at(60_000)), allowed(at(60_000))], [500, 0]);
        limit.add(100 * BODY);
        assert_eq!([allowed(at(60_100)), allowed(at(60_120))], [0, 20]);
    }
}
