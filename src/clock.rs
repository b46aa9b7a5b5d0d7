//! The one clock: the only reader of the wall clock.
//!
//! Its own file, so that a signature, a log line and the emulator cannot disagree on what time it is,
//! and so that correcting the time has one place. Durations are measured with tokio's monotonic
//! clock instead, which does not follow when the wall clock is set.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::signature::SigningDate;

/// Seconds since 1970-01-01T00:00:00Z; zero when the machine's clock is set before that.
#[must_use]
pub fn unix_seconds() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The current time as a signature carries it.
///
/// # Panics
///
/// If the machine's clock is set past the year 9999.
#[must_use]
pub fn signing_date() -> SigningDate {
    dated(unix_seconds())
}

/// The current time as the `Date` of an answer carries it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date() -> String {
    let now = jiff::Timestamp::from_second(unix_seconds()).unwrap_or_default();
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A clock of one worker: it formats the date once a second.
#[derive(Debug)]
pub struct Clock {
    last: Cell<(i64, SigningDate)>,
}

impl Clock {
    /// A clock that shows the current time.
    #[must_use]
    pub fn new() -> Self {
        let now = unix_seconds();
        Self {
            last: Cell::new((now, dated(now))),
        }
    }

    /// The current time as a signature carries it.
    #[must_use]
    pub fn signing_date(&self) -> SigningDate {
        let now = unix_seconds();
        let (second, date) = self.last.get();
        if second == now {
            return date;
        }
        let date = dated(now);
        self.last.set((now, date));
        date
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
    fn a_worker_s_clock_shows_the_same_time_as_the_machine_s() {
        let clock = Clock::new();
        let (before, shown, after) = (signing_date(), clock.signing_date(), signing_date());
        assert!(
            before <= shown && shown <= after,
            "{before} {shown} {after}"
        );
    }

    #[test]
    fn a_date_of_an_earlier_second_is_not_shown_again() {
        let clock = Clock::new();
        clock.last.set((0, dated(0)));
        assert_ne!(clock.signing_date(), dated(0));
    }
}
