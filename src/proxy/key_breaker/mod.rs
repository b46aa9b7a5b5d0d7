//! The key circuit breaker: keeps the gateway from locking an access key.
//!
//! More than five signature failures in a row lock an access key for five minutes (APIG FAQ on
//! APIG.0301), for everybody who uses it. So after three the proxy refuses requests itself, and lets single
//! ones through to find out whether anything has changed, ever more rarely.
//!
//! A breaker belongs to the access key, because the gateway counts by that: [`KeyBreakers`] shares it between
//! all routes, gateways and sets of credentials. Trust belongs to the key with its secret, so a set with a
//! wrong secret does not profit from one with the right secret. A corrected secret is tried at once, within
//! the five refusals that the access key has.
//!
//! Requests are not sent one after the other, so a wrong key could fail many times at once. As long as
//! it is not known that the key is good, only as many requests are under way as may fail, and never more than
//! five refusals in a row can come of them, whatever is refused: the signature or its date. The others wait
//! for an outcome: three seconds for room among the three, since the first request after a start may be a
//! slow one, and [`PROBE`] for room among the five. A gateway that takes longer than that to refuse a
//! signature is not known, and neither can requests be called back that were under way when a key which was
//! good began to be refused.

mod registry;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::error::Error;
pub(super) use registry::KeyBreakers;

/// Failures in a row after which requests are refused. The gateway allows five.
const FAILURES: u32 = 3;

/// Refusals in a row, of any kind, that an access key never exceeds while requests are admitted.
const MOST_REFUSALS: u32 = 5;

/// How long a request waits to know whether the key is good.
const PATIENCE: Duration = Duration::from_secs(3);

/// How far apart requests are let through that have waited for too long.
const GAP: Duration = Duration::from_millis(200);

/// How long the outcome of a single request is waited for until another one is let through.
const PROBE: Duration = Duration::from_secs(30);

/// How long requests are refused before one is let through: at first a minute, then twice as long each
/// time, up to an hour. So no five minutes, which is how long the gateway's own lock lasts, see more than five
/// failures.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What is known of one key with its secret, over all workers.
#[derive(Debug, Default)]
pub(super) struct KeyBreaker {
    /// Whether the last signature that was judged was right.
    is_proven: AtomicBool,
    breaker: Arc<AccessKeyBreaker>,
}

/// The circuit breaker of one access key, whatever its secret.
#[derive(Debug, Default)]
struct AccessKeyBreaker {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row, of the current secret.
    failures: u32,
    /// Refusals of any kind since the gateway last accepted a signature of the access key.
    refusals: u32,
    /// Requests under way whose outcome is waited for.
    under_way: u32,
    /// Until when requests are refused, once there were too many failures.
    refuses_until: Option<Instant>,
    /// For how long they are refused the next time.
    pause: Duration,
    /// Since when a request is under way that is to tell whether the key is good again.
    probing_since: Option<Instant>,
    /// When a request was last let through that had waited for too long.
    let_through: Option<Instant>,
}

/// What an answer says of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureOutcome {
    /// It was right.
    Accepted,
    /// It was refused.
    Rejected,
    /// Its date was refused, and has been corrected. The gateway may count that as well.
    Redated,
    /// The gateway has locked the key.
    Locked,
    /// Nothing.
    Unknown,
}

/// Leave to send a signed request. What becomes of it has to be told; if it is not, it is unknown.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    key_breaker: &'a KeyBreaker,
    kind: Kind,
    verdict: SignatureOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The key was known to be good.
    Trusted,
    /// It was not known.
    Counted,
    /// It is sent to find out whether the key is good again.
    Probe,
}

impl KeyBreaker {
    /// Leave to send a request.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLocked`] if the gateway would lock the key.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) async fn permit(&self) -> Result<Permit<'_>, Error> {
        if self.is_proven.load(Ordering::Acquire) {
            return Ok(self.pass(Kind::Trusted));
        }
        let start = Instant::now();
        loop {
            let changed = self.breaker.changed.notified();
            tokio::pin!(changed);
            // Registered before the state is looked at, so that no change is missed.
            changed.as_mut().enable();
            let waited = start.elapsed();
            if let Some(kind) = self.enter(Instant::now(), waited)? {
                return Ok(self.pass(kind));
            }
            let until_overdue = PATIENCE.saturating_sub(waited);
            let pause = if until_overdue.is_zero() {
                GAP
            } else {
                until_overdue
            };
            let _ = timeout(pause, changed).await;
        }
    }

    /// Whether requests are refused, but for the one that is sent now and then.
    pub(super) fn is_refusing(&self) -> bool {
        self.breaker.state().refuses_until.is_some()
    }

    fn pass(&self, kind: Kind) -> Permit<'_> {
        Permit {
            key_breaker: self,
            kind,
            verdict: SignatureOutcome::Unknown,
        }
    }

    /// How a request may be sent now that has `waited` this long; `None` if it has to wait.
    fn enter(&self, now: Instant, waited: Duration) -> Result<Option<Kind>, Error> {
        if self.is_proven.load(Ordering::Acquire) {
            return Ok(Some(Kind::Trusted));
        }
        let mut state = self.breaker.state();
        if let Some(until) = state.refuses_until {
            let is_probing = state.probing_since.is_some_and(|since| now - since < PROBE);
            if now < until || is_probing {
                let retry_after = until.saturating_duration_since(now);
                return Err(Error::KeyLocked {
                    retry_after: retry_after.max(Duration::from_secs(1)),
                });
            }
            state.probing_since = Some(now);
            return Ok(Some(Kind::Probe));
        }
        // All that are under way may be refused.
        let is_safe = state.under_way + state.refusals < MOST_REFUSALS;
        let is_overdue = waited >= if is_safe { PATIENCE } else { PROBE };
        let is_next = state.let_through.is_none_or(|last| now - last >= GAP);
        let has_room = is_safe && state.under_way + state.failures < FAILURES;
        if has_room || (is_overdue && is_next) {
            if !has_room {
                state.let_through = Some(now);
            }
            state.under_way += 1;
            return Ok(Some(Kind::Counted));
        }
        Ok(None)
    }

    fn settle(&self, kind: Kind, verdict: SignatureOutcome, now: Instant) {
        let mut state = self.breaker.state();
        match kind {
            Kind::Trusted => {}
            Kind::Counted => state.under_way -= 1,
            Kind::Probe => state.probing_since = None,
        }
        match verdict {
            SignatureOutcome::Accepted => state.right(),
            SignatureOutcome::Rejected => state.wrong(1, kind, now),
            SignatureOutcome::Redated => state.redated(kind, now),
            // Of a key that was good a moment ago, one answer is not believed: a service behind the gateway
            // could say anything.
            SignatureOutcome::Locked if kind == Kind::Trusted => state.wrong(1, kind, now),
            SignatureOutcome::Locked => state.wrong(FAILURES, kind, now),
            SignatureOutcome::Unknown => {}
        }
        match verdict {
            SignatureOutcome::Accepted => self.is_proven.store(true, Ordering::Release),
            SignatureOutcome::Rejected | SignatureOutcome::Redated | SignatureOutcome::Locked => {
                self.is_proven.store(false, Ordering::Release);
            }
            SignatureOutcome::Unknown => {}
        }
        drop(state);
        self.breaker.changed.notify_waiters();
    }
}

impl AccessKeyBreaker {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn right(&mut self) {
        if self.refuses_until.is_some() {
            tracing::info!("the gateway accepts signatures of the key again");
        }
        self.failures = 0;
        self.refusals = 0;
        self.refuses_until = None;
        self.pause = Duration::ZERO;
    }

    fn wrong(&mut self, count: u32, kind: Kind, now: Instant) {
        self.failures = self.failures.saturating_add(count);
        self.refusals = self.refusals.saturating_add(count);
        self.open_if_due(kind, now);
    }

    fn redated(&mut self, kind: Kind, now: Instant) {
        let refusals = self.refusals.saturating_add(1);
        // When the clock jumps under a good key, all requests under way are refused at once. One more has
        // to show that the corrected date is accepted.
        self.refusals = match kind {
            Kind::Trusted => refusals.min(MOST_REFUSALS - 1).max(self.refusals),
            Kind::Counted | Kind::Probe => refusals,
        };
        self.open_if_due(kind, now);
    }

    /// Another secret for the same access key is tried at once, if the access key has refusals left.
    fn try_new_secret(&mut self) {
        if self.refusals < MOST_REFUSALS {
            self.failures = 0;
            self.refuses_until = None;
            self.probing_since = None;
            self.pause = Duration::ZERO;
        }
    }

    fn open_if_due(&mut self, kind: Kind, now: Instant) {
        let is_due = self.failures >= FAILURES || self.refusals >= MOST_REFUSALS;
        // Those that were under way when it began say nothing new.
        let is_known = self.refuses_until.is_some() && kind != Kind::Probe;
        if !is_due || is_known {
            return;
        }
        self.pause = (self.pause * 2).clamp(PAUSE, LONGEST);
        self.refuses_until = Some(now + self.pause);
        tracing::error!(
            seconds = self.pause.as_secs(),
            "the gateway refused {} signatures of this key in a row and would lock it; requests are answered \
             with 503 until one gets through in {} s: correct the key",
            self.refusals,
            self.pause.as_secs(),
        );
    }
}

impl Permit<'_> {
    /// Tells what became of the request.
    pub(super) fn settle(mut self, verdict: SignatureOutcome) {
        self.verdict = verdict;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let says_nothing = matches!(
            self.verdict,
            SignatureOutcome::Accepted | SignatureOutcome::Unknown
        );
        if self.kind == Kind::Trusted && says_nothing {
            return;
        }
        self.key_breaker
            .settle(self.kind, self.verdict, Instant::now());
    }
}

#[cfg(test)]
mod tests;
