//! Permits to send signed requests. Each is given back with what the response says about the
//! signature.

use std::sync::atomic::Ordering;

use super::state::PermitKind;
use super::{KeyBreaker, SignatureOutcome, lock};

/// A permit to send one signed request. Dropping it without an outcome counts as unknown.
#[derive(Debug)]
pub(in crate::proxy) struct Permit<'a> {
    pub(super) breaker: &'a KeyBreaker,
    pub(super) kind: PermitKind,
    pub(super) outcome: SignatureOutcome,
}

impl Permit<'_> {
    /// Gives the permit back, with the outcome of the request.
    pub(in crate::proxy) fn settle(mut self, outcome: SignatureOutcome) {
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
pub(in crate::proxy) struct Permits<'a> {
    pub(in crate::proxy) key: Option<Permit<'a>>,
    pub(in crate::proxy) paths: Option<Permit<'a>>,
}

impl Permits<'_> {
    /// Gives the permits back, with the outcome of the request.
    pub(in crate::proxy) fn settle(self, outcome: SignatureOutcome) {
        use SignatureOutcome::{Accepted, Misread, Rejected, Unknown};
        let (for_key, for_paths) = match outcome {
            // It may be the path or the secret.
            Rejected if self.paths.is_some() => (Misread, Rejected),
            Accepted => (Accepted, Accepted),
            other => (other, Unknown),
        };
        self.key
            .into_iter()
            .for_each(|permit| permit.settle(for_key));
        self.paths
            .into_iter()
            .for_each(|permit| permit.settle(for_paths));
    }
}
