//! What is counted of each caller: its requests, for its rate, and its wrong signatures.
//!
//! Several wrong signatures in a minute make the caller wait for a minute, as long as nobody can have
//! tried many. The key of the gateway has no part in this.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Rate;
use crate::error::Error;

/// How many wrong signatures there may be within [`WAIT`].
const MAX_WRONG: u32 = 5;

/// How long a caller waits after too many of them.
const WAIT: Duration = Duration::from_secs(60);

/// The counts of all callers, by access key id. A reload keeps them.
#[derive(Debug, Default)]
pub(super) struct CallerLimits(Mutex<HashMap<String, Counts>>);

#[derive(Debug)]
struct Counts {
    wrong: u32,
    /// When the first of the wrong signatures came.
    wrong_since: Instant,
    /// Requests that may be sent at once, at the time `filled`.
    tokens: f64,
    filled: Option<Instant>,
}

impl CallerLimits {
    /// Checks that a caller does not have to wait after wrong signatures.
    pub(super) fn check_signatures(&self, access_key: &str) -> Result<(), Error> {
        const WRONG: &str = "several signatures of this caller were wrong";
        self.with(access_key, |counts| {
            let waits = WAIT
                .checked_sub(counts.wrong_since.elapsed())
                .unwrap_or_default();
            if waits.is_zero() {
                counts.wrong = 0;
            }
            match counts.wrong {
                MAX_WRONG.. => Err(Error::CallerLimited(WRONG, rounded_up(waits))),
                _ => Ok(()),
            }
        })
    }

    /// Counts a signature.
    pub(super) fn signed(&self, access_key: &str, is_right: bool) {
        self.with(access_key, |counts| {
            if is_right {
                counts.wrong = 0;
                return;
            }
            // The wait begins with the last one, and the time to count in with the first.
            if counts.wrong == 0 || counts.wrong + 1 == MAX_WRONG {
                counts.wrong_since = Instant::now();
            }
            counts.wrong += 1;
        });
    }

    /// Counts a request against the rate of its caller.
    pub(super) fn count(&self, access_key: &str, rate: Rate) -> Result<(), Error> {
        const RATE: &str = "this caller has sent as many requests as it may";
        let (most, now) = (f64::from(rate.requests), Instant::now());
        let per_second = most / f64::from(rate.seconds);
        self.with(access_key, |counts| {
            let filled = counts.filled.map_or(most, |filled| {
                counts.tokens + (now - filled).as_secs_f64() * per_second
            });
            counts.tokens = filled.min(most);
            counts.filled = Some(now);
            if counts.tokens < 1.0 {
                let wait = Duration::from_secs_f64((1.0 - counts.tokens) / per_second);
                return Err(Error::CallerLimited(RATE, rounded_up(wait)));
            }
            counts.tokens -= 1.0;
            Ok(())
        })
    }

    fn with<T>(&self, access_key: &str, change: impl FnOnce(&mut Counts) -> T) -> T {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.get_mut(access_key) {
            return change(counts);
        }
        change(all.entry(access_key.to_owned()).or_insert_with(|| Counts {
            wrong: 0,
            wrong_since: Instant::now(),
            tokens: 0.0,
            filled: None,
        }))
    }
}

/// In whole seconds, as `Retry-After` has it.
fn rounded_up(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(result: Result<T, Error>) -> u64 {
        match result {
            Err(Error::CallerLimited(_, wait)) => wait.as_secs(),
            Err(error) => panic!("{error}"),
            Ok(_) => 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_that_many_through_and_then_one_at_a_time() {
        let limits = CallerLimits::default();
        let rate = Rate {
            requests: 3,
            seconds: 60,
        };
        let count = || wait(limits.count("APX", rate));
        assert_eq!([count(), count(), count(), count()], [0, 0, 0, 20]);
        tokio::time::advance(Duration::from_millis(19_500)).await;
        assert_eq!(count(), 1);
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!([count(), count()], [0, 20]);
        assert_eq!(wait(limits.count("APY", rate)), 0);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!([count(), count(), count(), count()], [0, 0, 0, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn five_wrong_signatures_in_a_minute_make_a_caller_wait_for_one() {
        let limits = CallerLimits::default();
        let waits = || wait(limits.check_signatures("APX"));
        for _ in 0..4 {
            limits.signed("APX", false);
        }
        assert_eq!(waits(), 0);
        limits.signed("APX", true);
        for _ in 0..4 {
            limits.signed("APX", false);
        }
        assert_eq!(waits(), 0);
        tokio::time::advance(Duration::from_secs(61)).await;
        // Those were too long ago.
        assert_eq!(waits(), 0);
        for _ in 0..5 {
            limits.signed("APX", false);
        }
        assert_eq!((waits(), wait(limits.check_signatures("APY"))), (60, 0));
        tokio::time::advance(Duration::from_millis(59_500)).await;
        assert_eq!(waits(), 1);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(waits(), 0);
    }
}
