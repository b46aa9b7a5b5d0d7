//! Counts the requests of each caller, for its rate limit, and its wrong signatures.
//!
//! After several wrong signatures in a row a caller has to wait for a minute, so that no one can try
//! many. The gateway's key is not involved.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Rate;
use crate::error::Error;
use crate::lock::lock;

/// How many wrong signatures there may be, each less than [`WAIT`] after the one before.
const MAX_WRONG: u32 = 5;

/// How long a caller waits after too many of them.
const WAIT: Duration = Duration::from_secs(60);

/// The counts of all callers, by access key id.
#[derive(Debug, Default)]
pub(super) struct CallerLimits(Mutex<HashMap<String, Counts>>);

#[derive(Debug)]
struct Counts {
    wrong: u32,
    /// When the last wrong signature came.
    last_wrong: Instant,
    /// When the next request is due if all of them keep the interval of the rate.
    due: Instant,
}

impl CallerLimits {
    /// Checks that a caller does not have to wait after wrong signatures.
    pub(super) fn check_signatures(&self, access_key: &str) -> Result<(), Error> {
        const WRONG: &str = "several signatures of this caller were wrong";
        self.with(access_key, |counts| {
            let wait = WAIT.saturating_sub(counts.last_wrong.elapsed());
            if wait.is_zero() {
                counts.wrong = 0;
            }
            match counts.wrong {
                MAX_WRONG.. => Err(limited(WRONG, wait)),
                _ => Ok(()),
            }
        })
    }

    /// Counts a signature.
    pub(super) fn signed(&self, access_key: &str, is_right: bool) {
        self.with(access_key, |counts| {
            counts.wrong = if is_right { 0 } else { counts.wrong + 1 };
            counts.last_wrong = Instant::now();
        });
    }

    /// Counts a request against the rate of its caller.
    pub(super) fn count(&self, access_key: &str, rate: Rate) -> Result<(), Error> {
        const RATE: &str = "this caller has sent as many requests as it may";
        let distance = Duration::from_secs(rate.seconds.into()) / rate.requests;
        self.with(access_key, |counts| {
            let now = Instant::now();
            // The rate may have been another one before.
            counts.due = counts.due.clamp(now, now + distance * rate.requests);
            let wait = (counts.due - now).saturating_sub(distance * (rate.requests - 1));
            if !wait.is_zero() {
                return Err(limited(RATE, wait));
            }
            counts.due += distance;
            Ok(())
        })
    }

    fn with<T>(&self, access_key: &str, change: impl FnOnce(&mut Counts) -> T) -> T {
        let mut all = lock(&self.0);
        change(all.entry(access_key.to_owned()).or_insert_with(|| Counts {
            wrong: 0,
            last_wrong: Instant::now(),
            due: Instant::now(),
        }))
    }
}

/// The error of a caller that has to wait, in whole seconds as in `Retry-After`.
fn limited(reason: &'static str, wait: Duration) -> Error {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::CallerLimited(reason, Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(result: Result<(), Error>) -> u64 {
        match result {
            Err(Error::CallerLimited(_, wait)) => wait.as_secs(),
            Err(error) => panic!("{error}"),
            Ok(()) => 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_that_many_through_and_then_one_at_a_time() {
        let limits = CallerLimits::default();
        let (requests, seconds) = (3, 60);
        let count = || wait(limits.count("APX", Rate { requests, seconds }));
        for (pause, expected) in [
            (0, [0, 0, 0, 20]),
            (19_500, [1; 4]),
            (600, [0, 20, 20, 20]),
            (3_600_000, [0, 0, 0, 20]),
        ] {
            tokio::time::advance(Duration::from_millis(pause)).await;
            assert_eq!([count(), count(), count(), count()], expected, "{pause}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_wrong_signatures_in_a_row_make_a_caller_wait_for_a_minute() {
        let limits = CallerLimits::default();
        let waits = |access_key| wait(limits.check_signatures(access_key));
        for is_right in [false, false, false, false, true, false, false, false, false] {
            limits.signed("APX", is_right);
        }
        assert_eq!(waits("APX"), 0);
        limits.signed("APX", false);
        assert_eq!((waits("APX"), waits("APY")), (60, 0));
        tokio::time::advance(Duration::from_millis(59_500)).await;
        assert_eq!(waits("APX"), 1);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(waits("APX"), 0);
    }
}
