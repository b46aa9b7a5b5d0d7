//! What is known of a gateway's support for HTTP/2, and whether it is worth being used.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How long HTTP/2 is not offered to a gateway that agreed to it and did not begin.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// From how many requests in flight, per worker, sharing a connection pays. With fewer, HTTP/1.1 takes less
/// of the processor: a request over HTTP/2 passes through more tasks. Measured on two cores, both take the
/// same at 8.
const CONCURRENCY_THRESHOLD: usize = 8;

/// Support for HTTP/2, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Http2Support {
    Unknown,
    /// The gateway chose HTTP/1.1.
    Declined,
    Confirmed,
    /// It agreed to HTTP/2 and then did not begin, at this time.
    Failed(Instant),
    /// It agreed to HTTP/2 and then asked for HTTP/1.1 (RFC 9113 §7, `HTTP_1_1_REQUIRED`).
    Http1Required,
}

impl Http2Support {
    /// Whether HTTP/2 is offered.
    pub(super) fn is_possible(self) -> bool {
        match self {
            Self::Http1Required => false,
            Self::Failed(at) => at.elapsed() >= RETRY_AFTER,
            Self::Unknown | Self::Declined | Self::Confirmed => true,
        }
    }

    /// Whether a connection that is offered HTTP/2 is likely to use it, so that others wait for it.
    pub(super) fn is_likely(self) -> bool {
        match self {
            Self::Unknown | Self::Confirmed => true,
            Self::Failed(_) => self.is_possible(),
            Self::Declined | Self::Http1Required => false,
        }
    }
}

/// The most requests in flight at once, over the last one to two seconds.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Concurrency {
    current_peak: Cell<usize>,
    last_peak: Cell<usize>,
}

impl Concurrency {
    /// Records how many requests are in flight; whether there are enough to share a connection.
    pub(in crate::upstream) fn record(&self, in_flight: usize) -> bool {
        let peak = self.current_peak.get().max(in_flight);
        self.current_peak.set(peak);
        peak.max(self.last_peak.get()) >= CONCURRENCY_THRESHOLD
    }

    /// To be called once a second.
    pub(in crate::upstream) fn tick(&self) {
        self.last_peak.set(self.current_peak.take());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn http2_is_offered_again_a_while_after_the_gateway_did_not_begin_with_it() {
        let failed = Http2Support::Failed(Instant::now());
        advance(RETRY_AFTER - Duration::from_millis(1)).await;
        assert!(!failed.is_possible() && !failed.is_likely());
        advance(Duration::from_millis(1)).await;
        assert!(failed.is_possible() && failed.is_likely());
        assert!(!Http2Support::Http1Required.is_possible());
        assert!(Http2Support::Declined.is_possible() && !Http2Support::Declined.is_likely());
    }

    #[test]
    fn concurrency_counts_until_a_whole_second_was_below_the_threshold() {
        let concurrency = Concurrency::default();
        assert!(!concurrency.record(CONCURRENCY_THRESHOLD - 1));
        assert!(concurrency.record(CONCURRENCY_THRESHOLD));
        concurrency.tick();
        assert!(concurrency.record(1));
        concurrency.tick();
        assert!(!concurrency.record(CONCURRENCY_THRESHOLD - 1));
    }
}
