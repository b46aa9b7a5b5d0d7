//! Whether another secret is worth asking for when one was refused: not if the one before did not help.
//!
//! Apart from the credentials, because it is about what the gateway said, and not about what there is. A gateway
//! that refuses every token, since the API takes none or they are of the wrong project, would otherwise
//! have IAM asked for one with each request, and each caller waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::credentials::Issued;

/// For how long nothing is asked for after it did not help.
const PAUSE: Duration = Duration::from_secs(60);

/// What is known of refusals of one secret, over all workers.
#[derive(Debug, Default)]
pub(super) struct RefreshBackoff(Mutex<Option<Refused>>);

#[derive(Debug)]
struct Refused {
    issued: Arc<Issued>,
    at: Moment,
    /// Whether another one was waited for, and did not come.
    in_vain: bool,
}

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Ask for another secret.
    Start,
    /// Wait for another secret, which was asked for already.
    Wait,
    /// Neither.
    GiveUp,
}

impl RefreshBackoff {
    /// Takes note of a refusal.
    pub(super) fn refused(&self, issued: &Arc<Issued>, now: Moment) -> Refresh {
        let mut last = self.last();
        match &*last {
            Some(last) if now.since(last.at) < PAUSE => {
                if Arc::ptr_eq(&last.issued, issued) && !last.in_vain {
                    return Refresh::Wait;
                }
                return Refresh::GiveUp;
            }
            _ => {}
        }
        *last = Some(Refused {
            issued: Arc::clone(issued),
            at: now,
            in_vain: false,
        });
        Refresh::Start
    }

    /// Takes note that there is no other secret than this one.
    pub(super) fn waited_in_vain(&self, issued: &Arc<Issued>) {
        if let Some(last) = &mut *self.last()
            && Arc::ptr_eq(&last.issued, issued)
        {
            last.in_vain = true;
        }
    }

    /// Takes note that the gateway took another secret.
    pub(super) fn helped(&self) {
        *self.last() = None;
    }

    fn last(&self) -> MutexGuard<'_, Option<Refused>> {
        // Every change is a single step, so a panic elsewhere leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{Origin, Secret};

    fn issued() -> Arc<Issued> {
        let origin = Origin::Environment("A");
        Arc::new(Issued::lasting(Secret::Text("x".into()), origin))
    }

    #[test]
    fn one_request_asks_and_the_others_wait() {
        let (refresh_backoff, now) = (RefreshBackoff::default(), Moment::now());
        let first = issued();
        assert_eq!(refresh_backoff.refused(&first, now), Refresh::Start);
        assert_eq!(refresh_backoff.refused(&first, now), Refresh::Wait);
        refresh_backoff.helped();
        // The next one is withdrawn at once, too.
        assert_eq!(refresh_backoff.refused(&issued(), now), Refresh::Start);
    }

    #[test]
    fn what_does_not_help_is_tried_again_after_a_minute_only() {
        let (refresh_backoff, now) = (RefreshBackoff::default(), Moment::now());
        let (first, second) = (issued(), issued());
        let later = now.later_by(PAUSE);
        assert_eq!(refresh_backoff.refused(&first, now), Refresh::Start);
        assert_eq!(refresh_backoff.refused(&second, now), Refresh::GiveUp);
        assert_eq!(refresh_backoff.refused(&second, later), Refresh::Start);
        refresh_backoff.waited_in_vain(&first);
        assert_eq!(refresh_backoff.refused(&second, later), Refresh::Wait);
        refresh_backoff.waited_in_vain(&second);
        assert_eq!(refresh_backoff.refused(&second, later), Refresh::GiveUp);
        assert_eq!(
            refresh_backoff.refused(&second, later.later_by(PAUSE)),
            Refresh::Start
        );
    }
}
