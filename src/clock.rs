//! The one clock: the only reader of the wall clock.
//!
//! Its own room, so that a signature, a log line and the emulator cannot disagree on what time it is,
//! and so that correcting the time has one place ([`crate::gateway::GatewayClock`]). Durations are measured with tokio's
//! monotonic clock instead, which does not follow when the wall clock is set.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::signature::SigningDate;

/// Seconds since 1970-01-01T00:00:00Z; zero when the machine's clock is set before that.
#[must_use]
pub fn unix_seconds() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX)
}

/// The current time, as exactly as the machine tells it.
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

/// One moment on both clocks: the one that people set, and the one that only goes forward.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z, by this machine.
    pub(crate) wall: i64,
    pub(crate) steady: Instant,
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

    /// The moment on the clock that only goes forward.
    #[must_use]
    pub fn steady(self) -> Instant {
        self.steady
    }

    /// The moment on the clock that people set, in milliseconds since 1970.
    #[must_use]
    pub fn wall(self) -> i64 {
        self.wall
    }

    /// How long ago another moment was, by whichever clock says more: one stands still while the machine
    /// sleeps, and the other may be set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let wall = u64::try_from(self.wall.saturating_sub(earlier.wall)).unwrap_or(0);
        let steady = self.steady.saturating_duration_since(earlier.steady);
        steady.max(Duration::from_millis(wall))
    }

    /// The moment that comes so much later.
    #[must_use]
    pub fn later_by(self, time: Duration) -> Self {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self {
            wall: self.wall.saturating_add(milliseconds),
            steady: self.steady + time,
        }
    }
}

/// The time that a `Date` of an answer tells, in seconds since 1970; `None` if it is not one.
#[must_use]
pub fn parse_http_date(value: &[u8]) -> Option<i64> {
    let text = str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok()
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

    /// The current time, so many seconds ahead of this machine's clock, as a signature carries it.
    #[must_use]
    pub fn signing_date(&self, ahead: i64) -> SigningDate {
        let now = unix_seconds().saturating_add(ahead);
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
        let (before, shown, after) = (signing_date(), clock.signing_date(0), signing_date());
        assert!(
            before <= shown && shown <= after,
            "{before} {shown} {after}"
        );
    }

    #[test]
    fn a_date_of_an_earlier_second_is_not_shown_again() {
        let clock = Clock::new();
        clock.last.set((0, dated(0)));
        assert_ne!(clock.signing_date(0), dated(0));
    }
}
