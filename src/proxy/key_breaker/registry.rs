//! The circuit breakers of all access keys.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{AccessKeyBreaker, KeyBreaker};
use crate::credentials::Credentials;

/// How many secrets are remembered for an access key. One is usual, and two while it is corrected.
const SECRETS: usize = 8;

/// How many access keys are remembered that no route uses. Temporary keys come and go; what matters of those
/// is only that a key which comes back is not tried again too soon.
const UNUSED: usize = 256;

/// The circuit breakers by access key, for all workers and routes. Reloads go on with the same ones.
#[derive(Debug, Default)]
pub(in crate::proxy) struct KeyBreakers(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    access_key: String,
    breaker: Arc<AccessKeyBreaker>,
    /// By digest of the secret, the newest last.
    secrets: Vec<([u8; 32], Arc<KeyBreaker>)>,
}

impl KeyBreakers {
    /// What is known of a key. The same key has the same, and another secret of the same access key has the
    /// same breaker.
    pub(in crate::proxy) fn key_breaker(&self, credentials: &Credentials) -> Arc<KeyBreaker> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let access_key = &credentials.access_key;
        let digest = Sha256::digest(credentials.secret_key.expose_secret()).into();
        if let Some(known) = all.iter_mut().find(|known| known.access_key == *access_key) {
            return known.key_breaker(digest);
        }
        forget_unused(&mut all);
        let mut known = Known {
            access_key: access_key.clone(),
            breaker: Arc::default(),
            secrets: Vec::new(),
        };
        let key_breaker = known.key_breaker(digest);
        all.push(known);
        key_breaker
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Known {
    fn key_breaker(&mut self, digest: [u8; 32]) -> Arc<KeyBreaker> {
        if let Some((_, key_breaker)) = self.secrets.iter().find(|(known, _)| *known == digest) {
            return Arc::clone(key_breaker);
        }
        self.breaker.state().try_new_secret();
        let key_breaker = Arc::new(KeyBreaker {
            breaker: Arc::clone(&self.breaker),
            ..KeyBreaker::default()
        });
        if self.secrets.len() == SECRETS {
            self.secrets.remove(0);
        }
        self.secrets.push((digest, Arc::clone(&key_breaker)));
        key_breaker
    }

    fn is_used(&self) -> bool {
        self.secrets
            .iter()
            .any(|(_, key_breaker)| Arc::strong_count(key_breaker) > 1)
    }
}

/// Forgets keys that are not used and were not refused, and the oldest of those that were if they are too
/// many.
fn forget_unused(all: &mut Vec<Known>) {
    all.retain(|known| known.is_used() || known.breaker.state().refusals > 0);
    let unused = all.iter().filter(|known| !known.is_used()).count();
    if unused >= UNUSED
        && let Some(oldest) = all.iter().position(|known| !known.is_used())
    {
        all.remove(oldest);
    }
}
