//! Third step: the signature. It is made when the connection is there, so that the time a request has
//! waited does not count, and anew for every attempt.

use std::sync::Arc;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::lockout::Lockout;
use super::payload::Prepared;
use crate::config::Route;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::http1::push_field;
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
    lockout: Arc<Lockout>,
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
            lockout: Arc::default(),
        })
    }

    /// What is known of the key at the gateway.
    pub(super) fn lockout(&self) -> &Arc<Lockout> {
        &self.lockout
    }

    /// The same key with the circuit breaker that its access key has already.
    pub(super) fn sharing(self, lockout: Arc<Lockout>) -> Self {
        Self { lockout, ..self }
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
        let target = Target::of_parsed(&prepared.target);
        let hash = prepared.hash.as_ref();
        let payload = hash.map_or(Payload::Declared(UNSIGNED_PAYLOAD), Payload::Hash);
        CanonicalRequest::new(&prepared.method, target, &self.headers, &self.date, payload)
            .map_err(|_| Error::BadRequest("the method is not written in capital letters"))
    }

    /// Signs: the head with the signature.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(super) fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, Error> {
        let canonical = self.canonical()?;
        tracing::trace!(canonical_request = %canonical.redacted(), "signing");
        let authorization = key.signer.sign(&canonical).into_authorization();

        let mut head = Vec::with_capacity(self.prepared.head.len() + 512);
        head.extend_from_slice(&self.prepared.head);
        // Host and stage are there already.
        for (name, value) in &self.headers[1..self.headers.len() - 1] {
            push_field(&mut head, name, value.as_bytes());
        }
        push_field(&mut head, DATE_HEADER, self.date.as_str().as_bytes());
        if self.prepared.hash.is_none() {
            push_field(&mut head, CONTENT_HASH_HEADER, UNSIGNED_PAYLOAD.as_bytes());
        }
        push_field(&mut head, "authorization", authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
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
