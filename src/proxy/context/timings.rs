//! When what happened to a request.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::telemetry::access;
use crate::upstream::ConnectTimes;

/// When what happened.
#[derive(Debug)]
pub struct Timings {
    /// When the head had been read.
    pub head_read: Instant,
    /// When the request body had been read to its end.
    pub body_read: Option<Instant>,
    /// How long room for the body was waited for.
    pub memory_wait: Duration,
    /// How long a usable credential was waited for.
    pub credential_wait: Duration,
    /// How long the key circuit breaker held the request back.
    pub key_wait: Duration,
    /// How long a connection was waited for, name lookup, TCP and TLS included.
    pub connection_wait: Duration,
    /// Each time the request was sent.
    pub attempts: Vec<AttemptTimings>,
    /// When the last byte of the answer had been passed on.
    pub last_byte: Option<Instant>,
}

/// One attempt to send the request.
#[derive(Clone, Copy, Debug)]
pub struct AttemptTimings {
    /// Why it was made.
    pub reason: AttemptReason,
    /// What opening its connection took.
    pub connect: ConnectTimes,
    /// How long signing took.
    pub signing: Duration,
    /// When it had been signed, and sending began.
    pub signed: Instant,
    /// When the request had been handed over for sending to its end.
    pub sent: Option<Instant>,
    /// When the head of the answer had come.
    pub first_byte: Option<Instant>,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptReason {
    /// It is the first one.
    First,
    /// The connection ended before the gateway had looked at the request, or answered.
    Connection,
    /// The gateway refused the date of the signature.
    Date,
    /// The gateway refused the token, app code or API key.
    Credential,
}

impl Timings {
    /// The sums that the access record shows.
    pub(super) fn durations(&self, total: Duration) -> access::Durations {
        let signing = self.attempts.iter().map(|attempt| attempt.signing).sum();
        let answered = self
            .attempts
            .iter()
            .filter_map(|attempt| Some(attempt.first_byte? - attempt.signed));
        access::Durations {
            queued: self.memory_wait + self.credential_wait + self.key_wait + self.connection_wait,
            signing,
            upstream: answered.sum(),
            total,
        }
    }
}

/// Waits, and measures how long that took. What is there at once, as it nearly always is, needs no clock.
/// The future is pinned by the caller, or it would take its room twice in each request.
pub(in crate::proxy) async fn timed<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
) -> (T, Duration) {
    if let Some(output) = future.as_mut().now_or_never() {
        return (output, Duration::ZERO);
    }
    let begun = Instant::now();
    let output = future.await;
    (output, begun.elapsed())
}
