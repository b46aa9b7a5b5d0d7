//! When each step of a request happened. The marks are always taken: metrics, the access record and
//! the inspector are made of them.

use std::time::Duration;

use crate::inspect::note::{AttemptTimes, RequestEnd, Times};
use crate::telemetry::access::{Durations, Finished};

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

/// The sums that the access record shows.
pub(super) fn durations(times: &Times, queued: Duration) -> Durations {
    let answered = |attempt: &AttemptTimes| Some(attempt.first_byte? - attempt.signed);
    Durations {
        queued,
        signing: times.attempts.iter().map(|attempt| attempt.signing).sum(),
        upstream: times.attempts.iter().filter_map(answered).sum(),
        total: times.total,
    }
}

/// What the inspector gets at the end of a request.
pub(super) fn ended(times: &Times, finished: &Finished<'_>) -> RequestEnd {
    let outcome = finished.outcome();
    let is_early = ["caller_gone", "cut_off", "broken_off"].contains(&outcome);
    RequestEnd {
        status: finished.status,
        outcome,
        end: if is_early { outcome } else { "whole" },
        bytes_in: finished.bytes.0,
        bytes_out: finished.bytes.1,
        times: times.clone(),
    }
}
