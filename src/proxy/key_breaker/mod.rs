//! The key circuit breaker: keeps the gateway from locking an access key.
//!
//! More than five signature failures in a row lock an access key for five minutes (APIG FAQ on
//! APIG.0301), for every user of it. So after three failures the breaker opens: the proxy refuses
//! requests itself, and sends single probes, ever more rarely.
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

mod permit;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::credentials::Credentials;
use crate::error::Error;
pub(super) use permit::{Permit, Permits};

/// Rejected signatures in a row that open the breaker.
const MAX_FAILURES: u32 = 3;

/// Refused paths in a row that open the breaker of a route's paths.
const MAX_PATH_FAILURES: u32 = 2;

/// Refusals in a row, of any kind, that an access key never exceeds while requests are admitted.
const MAX_REFUSALS: u32 = 5;

/// How long a request waits for room among [`MAX_FAILURES`]. The first request after a start may be
/// slow.
const ROOM_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request waits for room among [`MAX_REFUSALS`], and until a probe is replaced by
/// another one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the open breaker refuses requests before a probe. The pause doubles after each failed
/// probe, so no five minutes, the length of the gateway's own lock, see more than five failures.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How many secrets of an access key are remembered.
const MAX_SECRETS: usize = 16;

/// What a response says of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureOutcome {
    Accepted,
    Rejected,
    /// Its date was rejected and has been corrected, or its path may be what is read differently.
    /// The gateway may count that as well, but it says nothing of the secret.
    Misread,
    /// The gateway has locked the key.
    Locked,
    /// Nothing.
    Unknown,
}

/// The breakers of all access keys, for all workers and routes. They survive reloads.
#[derive(Debug, Default)]
pub(super) struct KeyBreakers {
    keys: Mutex<HashMap<String, Arc<AccessKey>>>,
    hasher: RandomState,
}

/// The breaker of one access key with its secret.
#[derive(Debug)]
pub(super) struct KeyBreaker {
    /// The hash of the secret, which is not 0.
    secret: u64,
    key: Arc<AccessKey>,
}

/// What all secrets of an access key share.
#[derive(Debug, Default)]
struct AccessKey {
    state: Mutex<State>,
    /// The hash of the secret that the gateway accepted last and has not refused since, or 0.
    trusted: AtomicU64,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// It is for the paths of a route that the gateway may read differently, not for a key.
    is_of_paths: bool,
    /// The secrets that were tried last, by their hashes.
    secrets: VecDeque<u64>,
    /// Rejected signatures in a row, of the current secret.
    failures: u32,
    /// Refusals of any kind since the last accepted signature.
    refusals: u32,
    /// When the last of them came.
    last_refusal: Option<Instant>,
    /// Counted requests without an outcome.
    in_flight: u32,
    /// When the next probe may be sent; `Some` while the breaker is open.
    next_probe: Option<Instant>,
    /// The last pause of the open breaker.
    pause: Duration,
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

impl KeyBreakers {
    /// The breaker of a key. Another secret of the same access key has the same state, and is tried
    /// at once.
    pub(super) fn key_breaker(&self, credentials: &Credentials) -> KeyBreaker {
        let secret = self.hasher.hash_one(credentials.secret_key.expose_secret());
        let secret = secret.max(1);
        let mut keys = lock(&self.keys);
        // The pipelines of a reload take turns, so a known key may be unused for a moment.
        if !keys.contains_key(&credentials.access_key) {
            keys.retain(|_, key| Arc::strong_count(key) > 1 || lock(&key.state).is_remembered());
        }
        let key = keys.entry(credentials.access_key.clone()).or_default();
        let mut state = lock(&key.state);
        if !state.secrets.contains(&secret) {
            state.secrets.truncate(MAX_SECRETS - 1);
            state.secrets.push_front(secret);
            if state.refusals < MAX_REFUSALS {
                state.reset();
            }
        }
        let key = Arc::clone(key);
        KeyBreaker { secret, key }
    }
}

impl KeyBreaker {
    /// A breaker for the paths of a route.
    pub(super) fn of_paths() -> Self {
        let (secret, key) = (1, Arc::<AccessKey>::default());
        lock(&key.state).is_of_paths = true;
        Self { secret, key }
    }

    /// Admits few requests until one is accepted again.
    pub(super) fn revoke_trust(&self) {
        let (trusted, order) = (&self.key.trusted, Ordering::AcqRel);
        let _ = trusted.compare_exchange(self.secret, 0, order, Ordering::Relaxed);
    }

    /// Acquires a permit to send a request, once it can do no harm to the key. Fails if the breaker
    /// is open. Dropping the future changes nothing.
    pub(super) async fn permit(&self) -> Result<Permit<'_>, Error> {
        let grant = |kind| Permit {
            breaker: self,
            kind,
            outcome: SignatureOutcome::Unknown,
        };
        let start = Instant::now();
        loop {
            if self.key.trusted.load(Ordering::Acquire) == self.secret {
                return Ok(grant(PermitKind::Trusted));
            }
            let mut changed = pin!(self.key.changed.notified());
            // Registered before the state is read, so that no change is missed.
            changed.as_mut().enable();
            let waited = start.elapsed();
            if let Some(kind) = lock(&self.key.state).admit(waited)? {
                return Ok(grant(kind));
            }
            let limits = [ROOM_TIMEOUT, PROBE_TIMEOUT];
            let limit = limits[usize::from(waited >= ROOM_TIMEOUT)];
            let _ = timeout_at(start + limit, changed).await;
        }
    }

    /// True if the breaker is open.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.key.state).next_probe.is_some()
    }
}

impl State {
    /// Admits a request that has waited this long; `None` if it has to wait.
    fn admit(&mut self, waited: Duration) -> Result<Option<PermitKind>, Error> {
        if let Some(next_probe) = self.next_probe {
            let now = Instant::now();
            if now < next_probe {
                let retry_after = (next_probe - now).max(Duration::from_secs(1));
                return Err(match self.is_of_paths {
                    true => Error::PathsRefused { retry_after },
                    false => Error::KeyLocked { retry_after },
                });
            }
            self.next_probe = Some(now + PROBE_TIMEOUT);
            return Ok(Some(PermitKind::Probe));
        }
        // All requests in flight may be refused.
        let is_safe = self.in_flight + self.refusals < MAX_REFUSALS;
        let has_room = is_safe && self.in_flight + self.failures < self.max_failures();
        if !(has_room || waited >= PROBE_TIMEOUT || (is_safe && waited >= ROOM_TIMEOUT)) {
            return Ok(None);
        }
        self.in_flight += 1;
        Ok(Some(PermitKind::Counted))
    }

    /// True if refusals of a key that nothing uses still matter: the longest pause of the breaker
    /// is not over.
    fn is_remembered(&self) -> bool {
        let is_recent = |last: Instant| last.elapsed() < MAX_PAUSE;
        self.refusals > 0 && self.last_refusal.is_some_and(is_recent)
    }

    fn settle(&mut self, kind: PermitKind, outcome: SignatureOutcome) {
        let is_trusted = kind == PermitKind::Trusted;
        self.in_flight -= u32::from(kind == PermitKind::Counted);
        let (failures, refusals) = match outcome {
            SignatureOutcome::Accepted => {
                if self.next_probe.is_some() {
                    tracing::info!("the gateway accepts signatures of the key again");
                }
                self.refusals = 0;
                return self.reset();
            }
            SignatureOutcome::Unknown => {
                if kind == PermitKind::Probe && self.next_probe.is_some() {
                    self.next_probe = Some(Instant::now());
                }
                return;
            }
            SignatureOutcome::Rejected => (1, 1),
            // One such response for a trusted key is not believed: it may come from a service
            // behind the gateway, which could say anything.
            SignatureOutcome::Locked if is_trusted => (1, 1),
            SignatureOutcome::Locked => (MAX_FAILURES, MAX_FAILURES),
            // When the clock jumps under a trusted key, all requests in flight are refused at once.
            // One more has to show that the corrected date is accepted.
            SignatureOutcome::Misread if is_trusted && self.refusals + 1 >= MAX_REFUSALS => (0, 0),
            SignatureOutcome::Misread => (0, 1),
        };
        self.failures += failures;
        self.refusals += refusals;
        self.last_refusal = Some(Instant::now());
        let is_due = self.failures >= self.max_failures() || self.refusals >= MAX_REFUSALS;
        // Requests that were in flight when the breaker opened say nothing new.
        if is_due && (self.next_probe.is_none() || kind == PermitKind::Probe) {
            self.open();
        }
    }

    fn open(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
        self.next_probe = Some(Instant::now() + self.pause);
        let (refusals, seconds) = (self.refusals, self.pause.as_secs());
        let (what, hint) = match self.is_of_paths {
            true => ("requests with `//` in the path", "send paths without `//`"),
            false => ("signatures of this key", "correct the key"),
        };
        tracing::error!(
            seconds,
            "the gateway refused {refusals} {what} in a row and would lock the key; such requests are answered with \
             503 until one gets through in {seconds} s\nhint: {hint}"
        );
    }

    fn max_failures(&self) -> u32 {
        match self.is_of_paths {
            true => MAX_PATH_FAILURES,
            false => MAX_FAILURES,
        }
    }

    fn reset(&mut self) {
        self.failures = 0;
        self.next_probe = None;
        self.pause = Duration::ZERO;
    }
}

/// Every change leaves the state consistent, so a panic elsewhere does no harm.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
