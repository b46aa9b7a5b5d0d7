//! Answers of services, whose names for the same things differ.

use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use jiff::civil::DateTime;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::Deserialize;

use super::error::ServiceError;
use crate::clock::{self, Moment};
use crate::config::Endpoint;
use crate::credentials::{Credentials, Origin, checked};
use crate::upstream::{Network, OneshotResponse};

/// An answer that was read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    body: SecretBox<Vec<u8>>,
    /// The time that the service tells, in seconds since 1970.
    pub(super) told: Option<i64>,
    pub(super) at: Moment,
}

/// A key out of an answer.
pub(super) struct Key {
    pub(super) credentials: Credentials,
    /// In milliseconds since 1970.
    pub(super) expires_at: i64,
}

/// The object that the key stands in has one of two names, or none.
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

/// The code of a refusal, by all of its names, here or one level down.
#[derive(Deserialize)]
struct Coded {
    #[serde(alias = "errorCode", alias = "code")]
    error_code: Option<serde_json::Value>,
    error: Option<Box<Self>>,
}

impl Answer {
    /// Sends a request to an endpoint.
    pub(super) async fn of<B>(
        network: &Network,
        endpoint: &Endpoint,
        request: Request<B>,
        limit: Duration,
    ) -> Result<Self, ServiceError>
    where
        B: Into<bytes::Bytes>,
    {
        let reply = network.oneshot(endpoint, request.map(Into::into), limit);
        let OneshotResponse {
            status,
            headers,
            body,
        } = reply.await?;
        let date = headers.get(http::header::DATE);
        Ok(Self {
            status: status.as_u16(),
            told: date.and_then(|date| clock::parse_http_date(date.as_bytes())),
            headers,
            body,
            at: Moment::now(),
        })
    }

    /// Itself if the service agreed, or what it refused with.
    pub(super) fn agreed(self, remedy: &'static str) -> Result<Self, ServiceError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(ServiceError::Refused {
            status: self.status,
            code: self.code(),
            remedy,
        })
    }

    /// The body as text that one line of a header can carry.
    pub(super) fn line(&self) -> Result<SecretString, ServiceError> {
        let text = str::from_utf8(self.body.expose_secret()).unwrap_or_default();
        header_text(text.trim()).ok_or(ServiceError::Garbage("no token"))
    }

    /// Whether the body has these words.
    pub(super) fn says(&self, words: &str) -> bool {
        memchr::memmem::find(self.body.expose_secret(), words.as_bytes()).is_some()
    }

    /// The token in the header that IAM puts it in.
    pub(super) fn subject_token(&self) -> Result<SecretString, ServiceError> {
        let token = self.headers.get("x-subject-token");
        let token = token.and_then(|token| token.to_str().ok());
        token
            .and_then(header_text)
            .ok_or(ServiceError::Garbage("no X-Subject-Token"))
    }

    /// The body as JSON of a certain shape.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(self.body.expose_secret()).ok()
    }

    /// The key that it holds.
    pub(super) fn key(&self) -> Result<Key, ServiceError> {
        let wrapped = self.json().map(|wrapped: Wrapped| wrapped.credential);
        let parts = wrapped.or_else(|| self.json());
        let parts = parts.ok_or(ServiceError::Garbage("no key in it"))?;
        let expires_at =
            milliseconds(&parts.expires_at).ok_or(ServiceError::Garbage("no end of the key"))?;
        let origin = Origin::Service("");
        let token = Some(parts.securitytoken);
        let credentials = checked(&parts.access, &parts.secret, token, &origin)
            .map_err(|_| ServiceError::Garbage("the key has characters that no key has"))?;
        Ok(Key {
            credentials,
            expires_at,
        })
    }

    /// The code of a refusal. Only what has the shape of one is taken: nothing else is quoted.
    fn code(&self) -> Option<String> {
        let coded: Coded = self.json()?;
        let code = coded.error_code.or_else(|| coded.error?.error_code)?;
        let text = match code {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=32).contains(&text.len()) && text.bytes().all(is_code)).then_some(text)
    }
}

/// Text that a header can carry.
fn header_text(text: &str) -> Option<SecretString> {
    let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then(|| text.into())
}

/// A time as services write it, with a fraction or without, in milliseconds since 1970.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok().or_else(|| {
        // The last day of the year 9999 stands for a key without an end, and may lie beyond what there is.
        let time: DateTime = text.strip_suffix('Z')?.parse().ok()?;
        (time.year() == 9999).then_some(Timestamp::MAX)
    })?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests;
