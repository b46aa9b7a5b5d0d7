//! The only reader of the wall clock.
//!
//! Signatures, log lines and the emulator take the time from here, so that they agree, and only
//! [`crate::gateway::GatewayClock`] corrects it. Durations are measured with tokio's monotonic clock,
//! which does not jump when the wall clock is set.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::signature::SigningDate;

/// Seconds since 1970-01-01T00:00:00Z; zero if the machine's clock is set before that.
#[must_use]
pub fn unix_seconds() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX)
}

/// The current time, with the resolution of the machine's clock.
#[must_use]
pub fn timestamp() -> jiff::Timestamp {
    jiff::Timestamp::try_from(UNIX_EPOCH + since_1970()).unwrap_or_default()
}

fn since_1970() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z, on the wall clock.
    pub wall: i64,
    /// The moment on the monotonic clock.
    pub steady: Instant,
}

impl Moment {
    /// The current moment.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX),
            steady: Instant::now(),
        }
    }

    /// The time since an earlier moment, by the clock on which it is longer: one stands still while
    /// the machine sleeps, and the other may be set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let wall = u64::try_from(self.wall.saturating_sub(earlier.wall)).unwrap_or(0);
        let steady = self.steady.saturating_duration_since(earlier.steady);
        steady.max(Duration::from_millis(wall))
    }

    /// The moment that is later by this time.
    #[must_use]
    pub fn later_by(self, time: Duration) -> Self {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self {
            wall: self.wall.saturating_add(milliseconds),
            steady: self.steady + time,
        }
    }
}

/// The time of a `Date` header in seconds since 1970; `None` if it is malformed.
#[must_use]
pub fn parse_http_date(value: &[u8]) -> Option<i64> {
    let text = str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok()
}

/// The current time as the date of a signature.
///
/// # Panics
///
/// If the machine's clock is set past the year 9999.
#[must_use]
pub fn signing_date() -> SigningDate {
    dated(unix_seconds())
}

/// The current time as the value of a `Date` header (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date() -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + since_1970())
}

/// The clock of one worker, which formats the date once a second.
#[derive(Debug)]
pub struct Clock {
    last: Cell<SigningDate>,
}

impl Clock {
    /// A clock that shows the current time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            last: Cell::new(signing_date()),
        }
    }

    /// The current time as the date of a signature, corrected by the offset of the gateway's clock.
    #[must_use]
    pub fn signing_date(&self, ahead: i64) -> SigningDate {
        let now = unix_seconds().saturating_add(ahead);
        if self.last.get().unix_seconds() != now {
            self.last.set(dated(now));
        }
        self.last.get()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn dated(seconds: i64) -> SigningDate {
    SigningDate::from_unix_seconds(seconds).expect("the clock is set to a year with four digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_s_clock_shows_the_current_time_and_no_earlier_second() {
        let clock = Clock::new();
        clock.last.set(dated(0));
        let (before, shown, after) = (signing_date(), clock.signing_date(0), signing_date());
        assert!(before <= shown && shown <= after, "{shown}");
    }
}
