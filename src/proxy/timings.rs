//! When each step of a request happened. The marks are always taken: metrics and the access record
//! are made of them, and the log shows them at level `debug`.

use std::time::Duration;

use crate::inspect::note::{AttemptTimes, RequestEnd, Times};
use crate::telemetry::access::{Durations, Finished, ResponseEnd};
use crate::telemetry::metrics::Outcome;
use crate::upstream::ConnectTimes;

/// What a request waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// Room for its body.
    Memory,
    /// A usable key or token.
    Credential,
    /// The circuit breaker of its key.
    Key,
    /// A connection to the gateway, with name lookup, TCP and TLS.
    Connection,
}

/// The times of one request. Marks are the time since its head was read.
#[derive(Debug, Default)]
pub(super) struct Timings {
    pub(super) body_read: Option<Duration>,
    /// Indexed by [`Wait`].
    pub(super) waits: [Duration; 4],
    pub(super) attempts: Vec<AttemptTimings>,
    pub(super) last_byte: Option<Duration>,
}

/// The times of one attempt to send the request.
#[derive(Debug)]
pub(super) struct AttemptTimings {
    #[expect(dead_code, reason = "the log shows it")]
    pub(super) reason: AttemptReason,
    /// The steps of its connection, if that was opened for it.
    #[expect(dead_code, reason = "the log shows it")]
    pub(super) connect: ConnectTimes,
    /// How long signing took.
    pub(super) signing: Duration,
    /// When it was signed, and sending began.
    pub(super) signed: Duration,
    /// When all of it was handed over for sending.
    pub(super) sent: Option<Duration>,
    /// When the head of the response came.
    pub(super) first_byte: Option<Duration>,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptReason {
    First,
    /// The connection ended, and the request cannot have been executed.
    Connection,
    /// The gateway refused the date of the signature.
    Date,
    /// The gateway read the path differently.
    Path,
    /// The gateway refused the token, app code or API key, or the credential expired.
    Credential,
}

impl AttemptReason {
    /// Its name in the inspector.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Connection => "connection",
            Self::Date => "date",
            Self::Path => "path",
            Self::Credential => "credential",
        }
    }
}

impl Timings {
    /// The sums that the access record shows.
    pub(super) fn durations(&self, total: Duration) -> Durations {
        let answered = |attempt: &AttemptTimings| Some(attempt.first_byte? - attempt.signed);
        Durations {
            queued: self.waits.iter().sum(),
            signing: self.attempts.iter().map(|attempt| attempt.signing).sum(),
            upstream: self.attempts.iter().filter_map(answered).sum(),
            total,
        }
    }

    /// What the inspector gets at the end of a request.
    pub(super) fn ended(&self, finished: &Finished<'_>) -> RequestEnd {
        let end = match (finished.outcome, finished.end) {
            (Outcome::CallerGone, _) | (_, ResponseEnd::CallerGone) => "caller_gone",
            (Outcome::CutOff, _) | (_, ResponseEnd::CutOff) => "cut_off",
            (_, ResponseEnd::BrokenOff) => "broken_off",
            (_, ResponseEnd::Whole) => "whole",
        };
        let times = |attempt: &AttemptTimings| AttemptTimes {
            signing: attempt.signing,
            signed: attempt.signed,
            sent: attempt.sent,
            first_byte: attempt.first_byte,
        };
        RequestEnd {
            status: finished.status,
            outcome: finished.outcome(),
            end,
            bytes_in: finished.bytes.0,
            bytes_out: finished.bytes.1,
            times: Times {
                body_read: self.body_read,
                attempts: self.attempts.iter().map(times).collect(),
                last_byte: self.last_byte,
                total: finished.durations.total,
            },
        }
    }
}
