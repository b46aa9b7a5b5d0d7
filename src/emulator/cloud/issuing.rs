//! Issues tokens and temporary keys, and makes them valid at the gateway.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Cloud, FaultMode};
use crate::clock;
use crate::emulator::accounts::{DAY, random_key, random_text};
use crate::emulator::key_store::Owner;
use crate::lock::lock;

/// A time as IAM writes it.
const MICROSECONDS: &str = "%Y-%m-%dT%H:%M:%S.%6fZ";
/// A time as the documentation of STS and pod identity shows it.
const MILLISECONDS: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

/// How a service spells the parts of a key: key, secret, token, expiry, and its format.
type Spelling = [&'static str; 6];

/// As IAM and the metadata service spell it.
pub(super) const CREDENTIAL: Spelling = [
    "credential",
    "access",
    "secret",
    "securitytoken",
    "expires_at",
    MICROSECONDS,
];

/// As STS and pod identity spell it.
pub(super) const CREDENTIALS: Spelling = [
    "credentials",
    "access_key_id",
    "secret_access_key",
    "security_token",
    "expiration",
    MILLISECONDS,
];

impl Cloud {
    /// Issues a key for the lifetime of keys, or for the requested seconds if that is shorter.
    pub(super) fn issue_key(
        &self,
        fault: FaultMode,
        asked: Option<u64>,
        [all, id, secret, token, expiry, format]: Spelling,
    ) -> Value {
        let mut store = lock(&self.store);
        let most = store.accounts.lifetime.unwrap_or(DAY);
        let lifetime = asked.map_or(most, |asked| Duration::from_secs(asked).min(most));
        let (_, expires_at) = validity(fault, lifetime);
        // The ids of temporary keys begin like this.
        let mut key = random_key("HST", 20);
        let security_token = random_text(600);
        let body = json!({ all: {
            id: key.access_key,
            secret: key.secret_key.expose_secret(),
            token: security_token.expose_secret(),
            expiry: expires_at.strftime(format).to_string(),
        } });
        key.security_token = Some(security_token);
        store.add_key(Owner::Iam, &key, Some(expires_at));
        body
    }

    /// Issues a token: the token itself is in a header, its metadata in the body.
    pub(super) fn issue_token(&self, fault: FaultMode, mut body: Value) -> Response<Full<Bytes>> {
        let mut store = lock(&self.store);
        let (issued_at, expires_at) = validity(fault, store.accounts.lifetime.unwrap_or(DAY));
        // About as long as the real ones, which fill a good part of a header.
        let token = random_text(1200);
        store.add_token(&token, Some(expires_at));
        body["issued_at"] = issued_at.strftime(MICROSECONDS).to_string().into();
        body["expires_at"] = expires_at.strftime(MICROSECONDS).to_string().into();
        let mut response = json_response(StatusCode::CREATED, &json!({ "token": body }));
        let mut token = HeaderValue::try_from(token.expose_secret())
            .expect("letters and digits are a header value");
        token.set_sensitive(true);
        response.headers_mut().insert("x-subject-token", token);
        response
    }
}

/// When what is issued begins and ends to be valid; with [`FaultMode::Expired`] it ended a second ago.
fn validity(fault: FaultMode, lifetime: Duration) -> (Timestamp, Timestamp) {
    let now = clock::timestamp();
    let issued_at = match fault {
        FaultMode::Expired => now.checked_sub(lifetime + Duration::from_secs(1)),
        _ => Ok(now),
    };
    let issued_at = issued_at.unwrap_or(Timestamp::MIN);
    let expires_at = issued_at.checked_add(lifetime);
    (issued_at, expires_at.unwrap_or(Timestamp::MAX))
}

pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    response(status, "application/json;charset=UTF-8", body.to_string())
}

pub(super) fn refused(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let code = status.as_str();
    json_response(status, &json!({ "error_code": code, "error_msg": message }))
}

pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
