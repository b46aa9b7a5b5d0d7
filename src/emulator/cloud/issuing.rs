//! Issues tokens and temporary keys, and makes them known to the gateway.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Cloud, Mood};
use crate::credentials::Credentials;
use crate::emulator::drawing;
use crate::emulator::known::lock;

/// By how much something has expired that is issued too late.
const LATE: Duration = Duration::from_secs(1);

/// A temporary key.
pub(super) struct IssuedKey {
    key: Credentials,
    expires_at: Timestamp,
}

/// A token.
pub(super) struct IssuedToken {
    token: SecretString,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Cloud {
    /// Issues a key that lives as long as keys do, or as long as is asked for if that is shorter.
    pub(super) fn issue_key(&self, mood: Mood, asked: Option<Duration>) -> IssuedKey {
        let most = lock(&self.accounts).key_lifetime;
        let lifetime = asked.map_or(most, |asked| asked.min(most));
        let (_, expires_at) = self.life(mood, lifetime);
        let key = drawing::temporary_key();
        self.known.add_key(&key, Some(expires_at));
        IssuedKey { key, expires_at }
    }

    /// Issues a token.
    pub(super) fn issue_token(&self, mood: Mood) -> IssuedToken {
        let lifetime = lock(&self.accounts).token_lifetime;
        let (issued_at, expires_at) = self.life(mood, lifetime);
        // About as long as the real ones, which fill a good part of a header.
        let token = drawing::text(1200);
        self.known.add_token(&token, Some(expires_at));
        IssuedToken {
            token,
            issued_at,
            expires_at,
        }
    }

    fn life(&self, mood: Mood, lifetime: Duration) -> (Timestamp, Timestamp) {
        let now = self.clock.now();
        match mood {
            Mood::Expired => {
                let expired_at = now.checked_sub(LATE).unwrap_or(Timestamp::MIN);
                (
                    expired_at.checked_sub(lifetime).unwrap_or(Timestamp::MIN),
                    expired_at,
                )
            }
            _ => (now, now.checked_add(lifetime).unwrap_or(Timestamp::MAX)),
        }
    }
}

impl IssuedKey {
    /// As IAM and the metadata service spell it.
    pub(super) fn credential(&self) -> Value {
        json!({
            "credential": {
                "access": self.key.access_key,
                "secret": self.key.secret_key.expose_secret(),
                "securitytoken": self.token(),
                "expires_at": microseconds(self.expires_at),
            }
        })
    }

    /// As STS and pod identity spell it.
    pub(super) fn credentials(&self) -> Value {
        json!({
            "credentials": {
                "access_key_id": self.key.access_key,
                "secret_access_key": self.key.secret_key.expose_secret(),
                "security_token": self.token(),
                // Their documentation shows milliseconds.
                "expiration": self.expires_at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            }
        })
    }

    fn token(&self) -> &str {
        let token = self.key.security_token.as_ref();
        token.expect("a temporary key has a token").expose_secret()
    }
}

impl IssuedToken {
    /// Puts the token where IAM puts it.
    pub(super) fn into_header_of(self, response: &mut Response<Full<Bytes>>) {
        let mut token = HeaderValue::try_from(self.token.expose_secret())
            .expect("letters and digits are a header value");
        token.set_sensitive(true);
        response.headers_mut().insert("x-subject-token", token);
    }
}

/// A time as IAM writes it.
pub(super) fn microseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
