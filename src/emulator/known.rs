//! What the gateway knows at this moment: keys, tokens and codes, those that were issued meanwhile too.
//!
//! Its own type, because the identity services write what the gateway reads. What only has to be
//! recognised is kept as its hash.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::accounts::Accounts;
use crate::credentials::Credentials;
use crate::signature::{PayloadHash, Signer};

/// What the gateway knows.
pub(super) struct Known {
    keys: Mutex<HashMap<String, Key>>,
    tokens: Mutex<HashMap<String, Expiry>>,
    apps: HashMap<String, Arc<Signer>>,
    app_codes: HashSet<String>,
    api_keys: HashSet<String>,
}

/// When something expires, if ever.
type Expiry = Option<Timestamp>;

/// An access key.
struct Key {
    signer: Arc<Signer>,
    /// The hash of the token that a temporary one needs.
    token: Option<String>,
    expires_at: Expiry,
}

/// Whose key an access key id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A user's or an agency's.
    Iam,
    /// An app's.
    App,
}

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenState {
    Unknown,
    Valid,
    Expired,
}

impl Known {
    pub(super) fn new(accounts: &Accounts) -> Self {
        let hashes = |secrets: &[SecretString]| secrets.iter().map(hash).collect();
        let apps = accounts.apps.iter().map(|app| {
            let signer = Signer::new(&app.access_key, &app.secret_key);
            (app.access_key.clone(), Arc::new(signer))
        });
        let known = Self {
            keys: Mutex::default(),
            tokens: Mutex::default(),
            apps: apps.collect(),
            app_codes: hashes(&accounts.app_codes),
            api_keys: hashes(&accounts.api_keys),
        };
        for key in &accounts.keys {
            known.add_key(key, None);
        }
        for token in &accounts.tokens {
            known.add_token(token, None);
        }
        known
    }

    /// Takes note of a key. Those that were issued before stay good until they expire.
    pub(super) fn add_key(&self, key: &Credentials, expires_at: Expiry) {
        let known = Key {
            signer: Arc::new(Signer::new(&key.access_key, &key.secret_key)),
            token: key.security_token.as_ref().map(hash),
            expires_at,
        };
        lock(&self.keys).insert(key.access_key.clone(), known);
    }

    /// Takes note of a token.
    pub(super) fn add_token(&self, token: &SecretString, expires_at: Expiry) {
        lock(&self.tokens).insert(hash(token), expires_at);
    }

    /// Lets every token expire now.
    pub(super) fn expire_tokens(&self, now: Timestamp) {
        for expires_at in lock(&self.tokens).values_mut() {
            *expires_at = Some(expires_at.map_or(now, |earlier| earlier.min(now)));
        }
    }

    /// Whether a key has expired. One that is not known has not.
    pub(super) fn is_expired(&self, access_key: &str, now: Timestamp) -> bool {
        lock(&self.keys)
            .get(access_key)
            .is_some_and(|key| has_passed(key.expires_at, now))
    }

    /// What signs with a key. A temporary one is known only together with its token.
    pub(super) fn signer(&self, access_key: &str, token: Option<&[u8]>) -> Option<Arc<Signer>> {
        if let Some(signer) = self.apps.get(access_key) {
            return token.is_none().then(|| Arc::clone(signer));
        }
        let token = token.map(|token| PayloadHash::of(token).as_str().to_owned());
        let keys = lock(&self.keys);
        let key = keys.get(access_key)?;
        (key.token == token).then(|| Arc::clone(&key.signer))
    }

    /// Whose key this is. A request does not say whose an unknown one was meant to be: it is taken for an
    /// app's where there are only apps.
    pub(super) fn owner(&self, access_key: &str) -> Owner {
        let only_apps = || !self.apps.is_empty() && lock(&self.keys).is_empty();
        if self.apps.contains_key(access_key) || only_apps() {
            Owner::App
        } else {
            Owner::Iam
        }
    }

    /// What is known of a token.
    pub(super) fn token(&self, token: &[u8], now: Timestamp) -> TokenState {
        let tokens = lock(&self.tokens);
        match tokens.get(PayloadHash::of(token).as_str()) {
            None => TokenState::Unknown,
            Some(expires_at) if has_passed(*expires_at, now) => TokenState::Expired,
            Some(_) => TokenState::Valid,
        }
    }

    /// Whether this is an app code.
    pub(super) fn is_app_code(&self, code: &[u8]) -> bool {
        self.app_codes.contains(PayloadHash::of(code).as_str())
    }

    /// Whether this is an API key.
    pub(super) fn is_api_key(&self, key: &[u8]) -> bool {
        self.api_keys.contains(PayloadHash::of(key).as_str())
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("keys", &lock(&self.keys).len())
            .field("tokens", &lock(&self.tokens).len())
            .finish_non_exhaustive()
    }
}

fn hash(secret: &SecretString) -> String {
    PayloadHash::of(secret.expose_secret().as_bytes())
        .as_str()
        .to_owned()
}

fn has_passed(expires_at: Expiry, now: Timestamp) -> bool {
    expires_at.is_some_and(|expires_at| expires_at <= now)
}

/// Locks what is changed in single steps only, so that a panic elsewhere leaves nothing half-done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
