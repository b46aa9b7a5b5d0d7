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

mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::credentials::Credentials;
use crate::error::Error;
use crate::lock::lock;
use state::{MAX_REFUSALS, MAX_SECRETS, PROBE_TIMEOUT, PermitKind, ROOM_TIMEOUT, State};

/// What a response says about the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureOutcome {
    Accepted,
    Rejected,
    /// The date was rejected and has been corrected, or the gateway may read the path differently. The
    /// gateway may count that as a failure too, but it says nothing about the secret.
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

impl KeyBreakers {
    /// The breaker of a key. Another secret of the same access key has the same state, and is tried
    /// at once.
    pub(super) fn key_breaker(&self, credentials: &Credentials) -> KeyBreaker {
        let secret = self.hasher.hash_one(credentials.secret_key.expose_secret());
        let secret = secret.max(1);
        let mut keys = lock(&self.keys);
        // During a reload, a known key may be unused for a moment.
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

    /// Admits only a few requests at a time until one is accepted again.
    pub(super) fn revoke_trust(&self) {
        let (trusted, order) = (&self.key.trusted, Ordering::AcqRel);
        let _ = trusted.compare_exchange(self.secret, 0, order, Ordering::Relaxed);
    }

    /// Acquires a permit to send a request, once a refusal of it could not lock the key. Fails if the
    /// breaker is open. Dropping the future changes nothing.
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

/// A permit to send one signed request. Dropping it without an outcome counts as unknown.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a KeyBreaker,
    kind: PermitKind,
    outcome: SignatureOutcome,
}

impl Permit<'_> {
    /// Gives the permit back, with the outcome of the request.
    pub(super) fn settle(mut self, outcome: SignatureOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        use SignatureOutcome::{Accepted, Unknown};
        let (breaker, outcome) = (self.breaker, self.outcome);
        // The usual case takes no lock.
        if self.kind == PermitKind::Trusted && matches!(outcome, Accepted | Unknown) {
            return;
        }
        let mut state = lock(&breaker.key.state);
        state.settle(self.kind, outcome);
        match outcome {
            Accepted => breaker.key.trusted.store(breaker.secret, Ordering::Release),
            Unknown => {}
            _ => breaker.revoke_trust(),
        }
        drop(state);
        breaker.key.changed.notify_waiters();
    }
}

/// Permits to send one signed request: of its key, and of the paths of its route if the gateway may
/// read its path differently.
#[derive(Debug)]
pub(super) struct Permits<'a> {
    pub(super) key: Option<Permit<'a>>,
    pub(super) paths: Option<Permit<'a>>,
}

impl Permits<'_> {
    /// Gives the permits back, with the outcome of the request.
    pub(super) fn settle(self, outcome: SignatureOutcome) {
        use SignatureOutcome::{Accepted, Misread, Rejected, Unknown};
        let (for_key, for_paths) = match outcome {
            // It may be the path or the secret.
            Rejected if self.paths.is_some() => (Misread, Rejected),
            Accepted => (Accepted, Accepted),
            other => (other, Unknown),
        };
        if let Some(permit) = self.key {
            permit.settle(for_key);
        }
        if let Some(permit) = self.paths {
            permit.settle(for_paths);
        }
    }
}
