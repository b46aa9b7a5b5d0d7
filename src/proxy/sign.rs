//! The signature. It is made when the connection is there, so that the time a request has
//! waited does not count, and anew for every attempt.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::key_breaker::KeyBreaker;
use super::prepare::Prepared;
use crate::config::Route;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::signature::{
    CONTENT_HASH_HEADER, CanonicalRequest, DATE_HEADER, Payload, Signer, SigningDate, Target,
    UNSIGNED_PAYLOAD,
};

/// A key that is ready to sign.
#[derive(Clone, Debug)]
pub struct SigningKey {
    signer: Signer,
    security_token: Option<SecretString>,
    project_id: Option<HeaderValue>,
    breaker: Arc<KeyBreaker>,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// The access key id or the security token cannot stand in a header.
    #[error(
        "the access key or the security token has characters that no header can carry; copy it again"
    )]
    NotAHeaderValue,
}

impl SigningKey {
    /// Prepares credentials for signing.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::NotAHeaderValue`].
    pub fn new(
        credentials: &Credentials,
        project_id: Option<HeaderValue>,
    ) -> Result<Self, SigningKeyError> {
        let access_key = &credentials.access_key;
        let security_token = credentials.security_token.clone();
        let token = security_token.as_ref().map(ExposeSecret::expose_secret);
        if !is_header_value(access_key) || !token.is_none_or(is_header_value) {
            return Err(SigningKeyError::NotAHeaderValue);
        }
        Ok(Self {
            signer: Signer::new(access_key, &credentials.secret_key),
            security_token,
            project_id,
            breaker: Arc::default(),
        })
    }

    /// What is known of the key at the gateway.
    pub(super) fn breaker(&self) -> &Arc<KeyBreaker> {
        &self.breaker
    }

    /// The same key with the circuit breaker that its access key has already.
    pub(super) fn sharing(self, breaker: Arc<KeyBreaker>) -> Self {
        Self { breaker, ..self }
    }

    /// The access key id.
    #[cfg(test)]
    pub(super) fn access_key(&self) -> &str {
        self.signer.access_key()
    }

    /// The token of a temporary key, as it is sent.
    pub(super) fn security_token(&self) -> Option<&SecretString> {
        self.security_token.as_ref()
    }
}

/// What is signed of a request: the proxy's own headers only. Others may change on the way to the
/// gateway, and then the signature would not match.
pub(super) struct Signable<'a> {
    prepared: &'a Prepared,
    headers: Vec<(&'static str, &'a str)>,
    date: SigningDate,
}

impl<'a> Signable<'a> {
    /// # Errors
    ///
    /// [`Error::Internal`] if the request cannot be signed although it was admitted.
    pub(super) fn new(
        prepared: &'a Prepared,
        route: &'a Route,
        key: &'a SigningKey,
        date: SigningDate,
    ) -> Result<Self, Error> {
        let text = |value: &'a HeaderValue| {
            let ascii = value.to_str();
            ascii.map_err(|_| Error::Internal("a header to sign is not ascii"))
        };
        let token = key.security_token.as_ref();
        let values = [
            ("host", Some(text(&route.upstream.authority)?)),
            (
                "x-project-id",
                key.project_id.as_ref().map(text).transpose()?,
            ),
            ("x-security-token", token.map(ExposeSecret::expose_secret)),
            ("x-stage", Some(text(&route.stage)?)),
        ];
        let mut headers = Vec::with_capacity(values.len());
        headers.extend(
            values
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        Ok(Self {
            prepared,
            headers,
            date,
        })
    }

    /// The canonical request.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(super) fn canonical(&self) -> Result<CanonicalRequest<'_>, Error> {
        let prepared = self.prepared;
        let target = Target::of_parsed(prepared.target());
        let hash = prepared.hash.as_ref();
        let payload = hash.map_or(Payload::Declared(UNSIGNED_PAYLOAD), Payload::Hash);
        CanonicalRequest::new(
            prepared.method.as_str(),
            target,
            &self.headers,
            &self.date,
            payload,
        )
        .map_err(|_| Error::BadRequest("the method is not written in capital letters"))
    }

    /// Signs: adds the signature and what belongs to it to the headers.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(super) fn sign(&self, key: &SigningKey, headers: &mut HeaderMap) -> Result<(), Error> {
        let canonical = self.canonical()?;
        tracing::trace!(canonical_request = %canonical.redacted(), "signing");
        let authorization = key.signer.sign(&canonical);
        // Host and stage are there already.
        for (name, value) in &self.headers[1..self.headers.len() - 1] {
            insert(headers, name, value)?;
        }
        insert(headers, DATE_HEADER, self.date.as_str())?;
        if self.prepared.hash.is_none() {
            let unsigned = HeaderValue::from_static(UNSIGNED_PAYLOAD);
            headers.insert(CONTENT_HASH_HEADER, unsigned);
        }
        let authorization = HeaderValue::try_from(authorization);
        let authorization = authorization.map_err(|_| NOT_A_VALUE)?;
        headers.insert(AUTHORIZATION, authorization);
        Ok(())
    }
}

const NOT_A_VALUE: Error = Error::Internal("a signed header is no header value");

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Error> {
    let value = HeaderValue::from_str(value).map_err(|_| NOT_A_VALUE)?;
    headers.insert(name, value);
    Ok(())
}

/// Whether a part of the key can stand in a header. Asked without making a copy that is not wiped.
fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(access_key: &str, token: &str) -> Result<SigningKey, SigningKeyError> {
        let credentials = Credentials {
            access_key: access_key.to_owned(),
            secret_key: "MARKERsecret".into(),
            security_token: Some(token.into()),
        };
        SigningKey::new(&credentials, None)
    }

    #[test]
    fn debug_output_of_a_key_shows_neither_secret_nor_token() {
        let key = key("AK", "MARKERtoken").unwrap();
        let token = key.security_token().map(ExposeSecret::expose_secret);
        assert_eq!(token, Some("MARKERtoken"));
        assert!(!format!("{key:?}").contains("MARKER"), "{key:?}");
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused() {
        for (access_key, token) in [
            ("A\nK", "t"),
            ("AK", "t\r\nx: y"),
            ("AK", "\u{e9}"),
            ("A\u{7f}", "t"),
        ] {
            assert!(key(access_key, token).is_err(), "{access_key:?} {token:?}");
        }
    }
}
