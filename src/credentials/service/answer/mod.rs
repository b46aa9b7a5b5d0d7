//! Requests to services, and their responses, in which the same fields have different names.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use jiff::civil::DateTime;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::clock::{self, Moment};
use crate::credentials::CredentialsError;
use crate::credentials::types::{Credentials, Lease, Origin, Secret};

/// A service's clock that differs less than this from this machine's counts as the same, in
/// milliseconds.
const SAME_CLOCK: i64 = 2000;

/// A complete response.
#[derive(Debug)]
pub(super) struct Answer {
    service: &'static str,
    pub(super) response: Response<SecretBox<Vec<u8>>>,
    at: Moment,
}

/// The object around the key has one of two names, or there is none.
#[derive(Deserialize)]
struct Wrapped {
    #[serde(alias = "credentials")]
    credential: Parts,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(alias = "accessKeyId", alias = "access_key_id")]
    access: String,
    #[serde(alias = "secretAccessKey", alias = "secret_access_key")]
    secret: SecretString,
    #[serde(alias = "securityToken", alias = "security_token")]
    securitytoken: SecretString,
    #[serde(alias = "expiration")]
    expires_at: String,
}

/// A `POST` of JSON. The values are zeroized, since they hold secrets; the body is dropped with the
/// request.
pub(super) fn post(path: &str, mut fields: Value) -> Request<Bytes> {
    let body = fields.to_string().into();
    zeroize(&mut fields);
    Request::post(path)
        .header("content-type", "application/json;charset=UTF-8")
        .body(body)
        .expect("paths of services are fixed")
}

fn zeroize(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(zeroize),
        Value::Object(fields) => fields.values_mut().for_each(zeroize),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Answer {
    pub(super) fn new(service: &'static str, response: Response<SecretBox<Vec<u8>>>) -> Self {
        let at = Moment::now();
        Self {
            service,
            response,
            at,
        }
    }

    /// The response itself if the service agreed, else its refusal.
    pub(super) fn accepted(self, hint: &'static str) -> Result<Self, CredentialsError> {
        if self.response.status().is_success() {
            return Ok(self);
        }
        Err(CredentialsError::Refused {
            status: self.response.status().as_u16(),
            code: self.code(),
            hint,
        })
    }

    /// The body as text that one line of a header can carry.
    pub(super) fn line(&self) -> Result<SecretString, CredentialsError> {
        let text = str::from_utf8(self.response.body().expose_secret()).unwrap_or_default();
        header_text(text.trim()).ok_or(CredentialsError::Garbage("no token"))
    }

    pub(super) fn contains(&self, words: &str) -> bool {
        memchr::memmem::find(self.response.body().expose_secret(), words.as_bytes()).is_some()
    }

    /// The token in IAM's header.
    pub(super) fn subject_token(&self) -> Result<SecretString, CredentialsError> {
        let token = self.response.headers().get("x-subject-token");
        let token = token.and_then(|token| header_text(token.to_str().ok()?));
        token.ok_or(CredentialsError::Garbage("no X-Subject-Token"))
    }

    /// The body as JSON of a certain shape.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(self.response.body().expose_secret()).ok()
    }

    pub(super) fn key(&self) -> Result<Lease, CredentialsError> {
        let wrapped = self.json().map(|wrapped: Wrapped| wrapped.credential);
        let parts = wrapped.or_else(|| self.json());
        let parts = parts.ok_or(CredentialsError::Garbage("no key in it"))?;
        let expires_at = milliseconds(&parts.expires_at)
            .ok_or(CredentialsError::Garbage("no expiry time of the key"))?;
        let key = Credentials::checked(&parts.access, parts.secret, Some(parts.securitytoken))
            .map_err(|_| CredentialsError::Garbage("invalid characters in the key"))?;
        Ok(self.lease(Secret::Key(key), self.lifetime(expires_at)))
    }

    pub(super) fn lease(&self, secret: Secret, lifetime: Duration) -> Lease {
        Lease {
            at: self.at,
            lifetime: Some(lifetime),
            ..Lease::lasting(secret, Origin::Service(self.service))
        }
    }

    /// The lifetime of a secret that expires at this time, in milliseconds since 1970. It is
    /// counted by the `Date` of the response, because this machine's clock may be wrong.
    pub(super) fn lifetime(&self, expires_at: i64) -> Duration {
        let date = self.response.headers().get(http::header::DATE);
        let date = date.and_then(|date| clock::parse_http_date(date.as_bytes()));
        let now = match date.map(|seconds| seconds.saturating_mul(1000)) {
            // The date has no fractions, so this machine's time is the better one while they agree.
            Some(date) if (date - self.at.wall).abs() > SAME_CLOCK => date + 1000,
            _ => self.at.wall,
        };
        Duration::from_millis(u64::try_from(expires_at.saturating_sub(now)).unwrap_or(0))
    }

    /// The code of a refusal, by all of its names, here or one level down. It has the shape of one:
    /// nothing else is quoted.
    fn code(&self) -> Option<String> {
        let body: Value = self.json()?;
        let names = ["error_code", "errorCode", "code"];
        let code = |object: &Value| names.iter().find_map(|name| object.get(name).cloned());
        let text = match code(&body).or_else(|| code(&body["error"]))? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=32).contains(&text.len()) && text.bytes().all(is_code)).then_some(text)
    }
}

fn header_text(text: &str) -> Option<SecretString> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible.then(|| text.into())
}

/// A time as services write it, with a fraction or without, in milliseconds since 1970.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok().or_else(|| {
        // The last day of the year 9999 stands for a key that never expires, and may exceed the
        // range.
        let time: DateTime = text.strip_suffix('Z')?.parse().ok()?;
        (time.year() == 9999).then_some(Timestamp::MAX)
    })?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests;
