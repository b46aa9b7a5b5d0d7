//! The key breakers of all access keys, by key and secret. Separate from the breaker itself, which
//! knows nothing of other keys.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::KeyBreaker;
use crate::credentials::Credentials;

/// The most unused keys that are remembered. Temporary keys come and go, but one that comes back
/// must not be tried too soon.
pub(super) const MAX_UNUSED: usize = 256;

/// The breakers of all keys, for all workers and routes. They survive reloads.
#[derive(Debug, Default)]
pub(in crate::proxy) struct KeyBreakers(Mutex<Vec<Arc<KeyBreaker>>>);

impl KeyBreakers {
    /// The breaker of a key. Another secret of the same access key has another one with the same
    /// state.
    pub(in crate::proxy) fn key_breaker(&self, credentials: &Credentials) -> Arc<KeyBreaker> {
        let mut known = self.lock();
        let access_key = &credentials.access_key;
        let secret_digest = Sha256::digest(credentials.secret_key.expose_secret()).into();
        let mut same = known.iter().filter(|known| known.access_key == *access_key);
        if let Some(known) = same
            .clone()
            .find(|known| known.secret_digest == secret_digest)
        {
            return Arc::clone(known);
        }
        let shared = same
            .next()
            .map(|known| Arc::clone(&known.shared))
            .unwrap_or_default();
        shared.state().try_new_secret();
        let key_breaker = Arc::new(KeyBreaker {
            access_key: access_key.clone(),
            secret_digest,
            is_trusted: AtomicBool::new(false),
            shared,
        });
        forget_unused(&mut known);
        known.push(Arc::clone(&key_breaker));
        key_breaker
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Arc<KeyBreaker>>> {
        // Every change is a single step, so a panic elsewhere does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets unused keys without refusals, and the oldest of the others if there are too many.
fn forget_unused(known: &mut Vec<Arc<KeyBreaker>>) {
    let is_used = |known: &Arc<KeyBreaker>| Arc::strong_count(known) > 1;
    known.retain(|known| is_used(known) || known.shared.state().refusals > 0);
    if known.iter().filter(|known| !is_used(known)).count() >= MAX_UNUSED
        && let Some(oldest) = known.iter().position(|known| !is_used(known))
    {
        known.remove(oldest);
    }
}
