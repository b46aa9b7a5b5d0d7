//! Issues tokens and temporary keys, and makes them valid at the gateway.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Cloud, FaultMode, answer};
use crate::credentials::Credentials;
use crate::emulator::accounts::{random_key, random_text};
use crate::emulator::key_store::{Owner, lock};

/// A time as IAM writes it.
const MICROSECONDS: &str = "%Y-%m-%dT%H:%M:%S.%6fZ";
/// A time as the documentation of STS and pod identity shows it.
const MILLISECONDS: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

/// A temporary key.
pub(super) struct IssuedKey {
    key: Credentials,
    expires_at: Timestamp,
}

impl Cloud {
    /// Issues a key for the lifetime of keys, or for the requested lifetime if that is shorter.
    pub(super) fn issue_key(&self, fault: FaultMode, asked: Option<Duration>) -> IssuedKey {
        let mut store = lock(&self.store);
        let most = store.accounts.key_lifetime;
        let (_, expires_at) = self.life(fault, asked.map_or(most, |asked| asked.min(most)));
        // The ids of temporary keys begin like this.
        let mut key = random_key("HST", 20);
        key.security_token = Some(random_text(600));
        store.add_key(Owner::Iam, &key, Some(expires_at));
        IssuedKey { key, expires_at }
    }

    /// Issues a token: the token itself is in a header, its metadata in the body.
    pub(super) fn issue_token(&self, fault: FaultMode, mut body: Value) -> Response<Full<Bytes>> {
        let mut store = lock(&self.store);
        let (issued_at, expires_at) = self.life(fault, store.accounts.token_lifetime);
        // About as long as the real ones, which fill a good part of a header.
        let token = random_text(1200);
        store.add_token(&token, Some(expires_at));
        body["issued_at"] = issued_at.strftime(MICROSECONDS).to_string().into();
        body["expires_at"] = expires_at.strftime(MICROSECONDS).to_string().into();
        let mut response = answer::json(StatusCode::CREATED, &json!({ "token": body }));
        let mut token = HeaderValue::try_from(token.expose_secret())
            .expect("letters and digits are a header value");
        token.set_sensitive(true);
        response.headers_mut().insert("x-subject-token", token);
        response
    }

    /// Start and end of a lifetime; with [`FaultMode::Expired`] it ended a second ago.
    fn life(&self, fault: FaultMode, lifetime: Duration) -> (Timestamp, Timestamp) {
        let now = self.clock.now();
        let issued_at = match fault {
            FaultMode::Expired => now.checked_sub(lifetime + Duration::from_secs(1)),
            _ => Ok(now),
        };
        let issued_at = issued_at.unwrap_or(Timestamp::MIN);
        let expires_at = issued_at.checked_add(lifetime);
        (issued_at, expires_at.unwrap_or(Timestamp::MAX))
    }
}

impl IssuedKey {
    /// As IAM and the metadata service spell it.
    pub(super) fn credential(&self) -> Value {
        json!({ "credential": {
            "access": self.key.access_key,
            "secret": self.key.secret_key.expose_secret(),
            "securitytoken": self.token(),
            "expires_at": self.expires_at.strftime(MICROSECONDS).to_string(),
        } })
    }

    /// As STS and pod identity spell it.
    pub(super) fn credentials(&self) -> Value {
        json!({ "credentials": {
            "access_key_id": self.key.access_key,
            "secret_access_key": self.key.secret_key.expose_secret(),
            "security_token": self.token(),
            "expiration": self.expires_at.strftime(MILLISECONDS).to_string(),
        } })
    }

    fn token(&self) -> &str {
        let token = self.key.security_token.as_ref();
        token.expect("a temporary key has a token").expose_secret()
    }
}
