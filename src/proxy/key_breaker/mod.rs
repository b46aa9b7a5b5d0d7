//! The key circuit breaker: keeps the gateway from locking an access key.
//!
//! More than five signature failures in a row lock an access key for five minutes (APIG FAQ on
//! APIG.0301), for every user of it. So after three failures the breaker opens: the proxy
//! refuses requests itself, and sends single probes, ever more rarely.
//!
//! The breaker belongs to the access key, because the gateway counts by that: all routes, gateways
//! and sets of credentials share it. Trust belongs to the key with its secret, so a set with a
//! wrong secret does not profit from one with the right secret. A corrected secret is tried at
//! once, within the five refusals of the access key.
//!
//! Requests are concurrent, so a wrong key could fail many times at once. While a key is not
//! trusted, only as many requests are in flight as may fail, and never more than five refusals in a
//! row can come of them, whatever is refused: the signature or its date. The others wait for an
//! outcome.
//!
//! # What can go wrong
//!
//! A gateway that takes longer than [`PROBE_TIMEOUT`] to refuse a signature can see more than five.
//! So can one that begins to refuse a trusted key while requests are in flight: they cannot be
//! called back.

mod registry;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::error::Error;
pub(super) use registry::KeyBreakers;

/// Rejected signatures in a row that open the breaker.
const MAX_FAILURES: u32 = 3;

/// Refusals in a row, of any kind, that an access key never exceeds while requests are admitted.
const MAX_REFUSALS: u32 = 5;

/// How long a request waits for room among [`MAX_FAILURES`]. The first request after a start may be
/// slow.
const ROOM_TIMEOUT: Duration = Duration::from_secs(3);

/// The interval between requests that are admitted after [`ROOM_TIMEOUT`].
const OVERDUE_INTERVAL: Duration = Duration::from_millis(200);

/// How long a request waits for room among [`MAX_REFUSALS`], and until a probe is replaced by
/// another one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the open breaker refuses requests before a probe. The pause doubles after each failed
/// probe, so no five minutes, the length of the gateway's own lock, see more than five failures.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What a response says of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureOutcome {
    /// It was accepted.
    Accepted,
    /// It was rejected.
    Rejected,
    /// Its date was rejected, and has been corrected. The gateway may count that as well.
    Redated,
    /// The gateway has locked the key.
    Locked,
    /// Nothing.
    Unknown,
}

/// The breaker of one access key with its secret, over all workers.
#[derive(Debug, Default)]
pub(super) struct KeyBreaker {
    access_key: String,
    secret_digest: [u8; 32],
    /// The last known outcome of this secret was an accepted signature.
    is_trusted: AtomicBool,
    shared: Arc<AccessKey>,
}

/// What all secrets of an access key share.
#[derive(Debug, Default)]
struct AccessKey {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Rejected signatures in a row, of the current secret.
    failures: u32,
    /// Refusals of any kind since the last accepted signature.
    refusals: u32,
    /// Counted requests without an outcome.
    in_flight: u32,
    /// The breaker is open, and until then sends no probe.
    open_until: Option<Instant>,
    /// The last pause of the open breaker.
    pause: Duration,
    /// The start of the probe that is in flight.
    probing_since: Option<Instant>,
    /// The last time that a request was admitted because it had waited too long.
    last_overdue: Option<Instant>,
}

/// A permit to send one signed request. Dropping it without an outcome counts as unknown.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    key_breaker: &'a KeyBreaker,
    kind: PermitKind,
    outcome: SignatureOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermitKind {
    /// The key is trusted.
    Trusted,
    /// The key is not trusted, so the request counts as in flight.
    Counted,
    /// The breaker is open.
    Probe,
}

impl KeyBreaker {
    /// Acquires a permit to send a request, once it can do no harm to the key.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLocked`] if the breaker is open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) async fn permit(&self) -> Result<Permit<'_>, Error> {
        if self.is_trusted.load(Ordering::Acquire) {
            return Ok(self.grant(PermitKind::Trusted));
        }
        let start = Instant::now();
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Registered before the state is read, so that no change is missed.
            changed.as_mut().enable();
            let waited = start.elapsed();
            if let Some(kind) = self.admit(Instant::now(), waited)? {
                return Ok(self.grant(kind));
            }
            let pause = match ROOM_TIMEOUT.saturating_sub(waited) {
                Duration::ZERO => OVERDUE_INTERVAL,
                rest => rest,
            };
            let _ = timeout(pause, changed).await;
        }
    }

    /// True if the breaker is open.
    pub(super) fn is_open(&self) -> bool {
        self.shared.state().open_until.is_some()
    }

    fn grant(&self, kind: PermitKind) -> Permit<'_> {
        Permit {
            key_breaker: self,
            kind,
            outcome: SignatureOutcome::Unknown,
        }
    }

    /// Admits a request that has waited this long; `None` if it has to wait.
    fn admit(&self, now: Instant, waited: Duration) -> Result<Option<PermitKind>, Error> {
        if self.is_trusted.load(Ordering::Acquire) {
            return Ok(Some(PermitKind::Trusted));
        }
        let mut state = self.shared.state();
        if let Some(until) = state.open_until {
            let probe = state.probing_since;
            if now < until || probe.is_some_and(|since| now - since < PROBE_TIMEOUT) {
                let retry_after = until.saturating_duration_since(now);
                let retry_after = retry_after.max(Duration::from_secs(1));
                return Err(Error::KeyLocked { retry_after });
            }
            state.probing_since = Some(now);
            return Ok(Some(PermitKind::Probe));
        }
        // All requests in flight may be refused.
        let is_safe = state.in_flight + state.refusals < MAX_REFUSALS;
        let has_room = is_safe && state.in_flight + state.failures < MAX_FAILURES;
        if !has_room {
            let is_overdue = waited >= if is_safe { ROOM_TIMEOUT } else { PROBE_TIMEOUT };
            let last = state.last_overdue;
            if !is_overdue || last.is_some_and(|last| now - last < OVERDUE_INTERVAL) {
                return Ok(None);
            }
            state.last_overdue = Some(now);
        }
        state.in_flight += 1;
        Ok(Some(PermitKind::Counted))
    }

    fn settle(&self, kind: PermitKind, outcome: SignatureOutcome, now: Instant) {
        let mut state = self.shared.state();
        match kind {
            PermitKind::Trusted => {}
            PermitKind::Counted => state.in_flight -= 1,
            PermitKind::Probe => state.probing_since = None,
        }
        let is_trusted = kind == PermitKind::Trusted;
        match outcome {
            SignatureOutcome::Accepted => state.close(),
            SignatureOutcome::Rejected => state.reject(1),
            // One such response for a trusted key is not believed: it may come from a service
            // behind the gateway, which could say anything.
            SignatureOutcome::Locked => state.reject(if is_trusted { 1 } else { MAX_FAILURES }),
            // When the clock jumps under a trusted key, all requests in flight are refused at once.
            // One more has to show that the corrected date is accepted.
            SignatureOutcome::Redated if is_trusted && state.refusals + 1 >= MAX_REFUSALS => {
                state.refusals = state.refusals.max(MAX_REFUSALS - 1);
            }
            SignatureOutcome::Redated => state.refusals += 1,
            SignatureOutcome::Unknown => {}
        }
        if outcome != SignatureOutcome::Unknown {
            let is_accepted = outcome == SignatureOutcome::Accepted;
            self.is_trusted.store(is_accepted, Ordering::Release);
            state.open_if_due(kind, now);
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

impl AccessKey {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves it consistent, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self) {
        if self.open_until.is_some() {
            tracing::info!("the gateway accepts signatures of the key again");
        }
        self.refusals = 0;
        self.reset();
    }

    fn reject(&mut self, count: u32) {
        self.failures += count;
        self.refusals += count;
    }

    /// Closes the breaker for a new secret, if the access key has refusals left.
    fn try_new_secret(&mut self) {
        if self.refusals < MAX_REFUSALS {
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.failures = 0;
        self.open_until = None;
        self.probing_since = None;
        self.pause = Duration::ZERO;
    }

    fn open_if_due(&mut self, kind: PermitKind, now: Instant) {
        let is_due = self.failures >= MAX_FAILURES || self.refusals >= MAX_REFUSALS;
        // Requests that were in flight when the breaker opened say nothing new.
        let is_known = self.open_until.is_some() && kind != PermitKind::Probe;
        if !is_due || is_known {
            return;
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
        self.open_until = Some(now + self.pause);
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
    /// Gives the permit back, with the outcome of the request.
    pub(super) fn settle(mut self, outcome: SignatureOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let says_nothing = [SignatureOutcome::Accepted, SignatureOutcome::Unknown];
        // The usual case takes no lock.
        if self.kind != PermitKind::Trusted || !says_nothing.contains(&self.outcome) {
            self.key_breaker
                .settle(self.kind, self.outcome, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
