//! When each step of a request happened. The marks are always taken: metrics, the access record and
//! the inspector are made of them.

use std::time::Duration;

use crate::inspect::note::{AttemptTimes, RequestEnd, Times};
use crate::telemetry::access::{Durations, Finished, ResponseEnd};
use crate::telemetry::metrics::Outcome;

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
    let end = match (finished.outcome, finished.end) {
        (Outcome::CallerGone, _) | (_, ResponseEnd::CallerGone) => "caller_gone",
        (Outcome::CutOff, _) | (_, ResponseEnd::CutOff) => "cut_off",
        (_, ResponseEnd::BrokenOff) => "broken_off",
        (_, ResponseEnd::Whole) => "whole",
    };
    RequestEnd {
        status: finished.status,
        outcome: finished.outcome(),
        end,
        bytes_in: finished.bytes.0,
        bytes_out: finished.bytes.1,
        times: times.clone(),
    }
}
