//! The keys and tokens that are valid at the moment: those of the accounts, and those that were
//! issued.
//!
//! Its own type, because the identity services write what the gateway reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::accounts::Accounts;
use crate::credentials::Credentials;
use crate::signature::{PayloadHash, Signer};

/// A key is locked after more failures in a row than this (APIG FAQ: "more than five").
const MAX_FAILURES: u32 = 5;

/// How long a key is locked.
const LOCK_TIME: Duration = Duration::from_secs(5 * 60);

/// The valid keys and tokens.
#[derive(Debug)]
pub(super) struct KeyStore {
    pub(super) accounts: Accounts,
    keys: HashMap<String, Key>,
    /// Expiry by the hash of the token, so that no output shows one.
    tokens: HashMap<String, Option<Timestamp>>,
}

#[derive(Debug)]
struct Key {
    owner: Owner,
    signer: Arc<Signer>,
    /// The hash of the token that a temporary key needs.
    token: Option<String>,
    expires_at: Option<Timestamp>,
    failures: u32,
    locked_until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A user or an agency.
    Iam,
    /// An app.
    App,
}

/// The state of a key or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unknown,
    Valid,
    Expired,
    Locked,
}

impl KeyStore {
    pub(super) fn new(accounts: Accounts) -> Self {
        let mut store = Self {
            keys: HashMap::new(),
            tokens: HashMap::new(),
            accounts: accounts.clone(),
        };
        for (owner, keys) in [(Owner::Iam, accounts.keys), (Owner::App, accounts.apps)] {
            for key in keys {
                store.add_key(owner, &key, None);
            }
        }
        for token in &accounts.tokens {
            store.add_token(token, None);
        }
        store
    }

    /// Adds a key. Those that were issued before stay valid until they expire.
    pub(super) fn add_key(
        &mut self,
        owner: Owner,
        key: &Credentials,
        expires_at: Option<Timestamp>,
    ) {
        let token = key.security_token.as_ref();
        let added = Key {
            owner,
            signer: Arc::new(Signer::new(&key.access_key, &key.secret_key)),
            token: token.map(|token| hash(token.expose_secret().as_bytes())),
            expires_at,
            failures: 0,
            locked_until: None,
        };
        self.keys.insert(key.access_key.clone(), added);
    }

    pub(super) fn add_token(&mut self, token: &SecretString, expires_at: Option<Timestamp>) {
        let token = hash(token.expose_secret().as_bytes());
        self.tokens.insert(token, expires_at);
    }

    /// Revokes every token.
    pub(super) fn expire_tokens(&mut self, now: Timestamp) {
        for expires_at in self.tokens.values_mut() {
            *expires_at = Some(expires_at.map_or(now, |earlier| earlier.min(now)));
        }
    }

    /// The state of a key, whatever it signs.
    pub(super) fn key(&self, access_key: &str, now: Timestamp) -> State {
        match self.keys.get(access_key) {
            None => State::Unknown,
            Some(key) if key.locked_until.is_some_and(|until| now < until) => State::Locked,
            Some(key) => state(key.expires_at, now),
        }
    }

    pub(super) fn token(&self, token: &[u8], now: Timestamp) -> State {
        let expires_at = self.tokens.get(&hash(token));
        expires_at.map_or(State::Unknown, |expires_at| state(*expires_at, now))
    }

    /// The signer of a key. A temporary one is known only together with its token.
    pub(super) fn signer(&self, access_key: &str, token: Option<&[u8]>) -> Option<Arc<Signer>> {
        let key = self.keys.get(access_key)?;
        (key.token == token.map(hash)).then(|| Arc::clone(&key.signer))
    }

    /// The owner of a key. An unknown one is taken for a user's.
    pub(super) fn owner(&self, access_key: &str) -> Owner {
        let key = self.keys.get(access_key);
        key.map_or(Owner::Iam, |key| key.owner)
    }

    /// Records a signature of a key, which locks it after failures in a row. Apps are not said to
    /// be locked.
    pub(super) fn signed(&mut self, access_key: &str, matches: bool, now: Timestamp) {
        let key = self.keys.get_mut(access_key);
        let Some(key) = key.filter(|key| key.owner == Owner::Iam) else {
            return;
        };
        if matches || key.locked_until.take().is_some() {
            key.failures = 0;
        }
        key.failures += u32::from(!matches);
        if key.failures > MAX_FAILURES {
            key.locked_until = now.checked_add(LOCK_TIME).ok();
        }
    }
}

fn state(expires_at: Option<Timestamp>, now: Timestamp) -> State {
    match expires_at.is_some_and(|expires_at| expires_at <= now) {
        true => State::Expired,
        false => State::Valid,
    }
}

fn hash(secret: &[u8]) -> String {
    PayloadHash::new(secret).as_str().to_owned()
}
