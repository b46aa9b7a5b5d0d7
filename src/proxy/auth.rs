//! How requests authenticate at the gateway: by a signature, or by a secret in a header.
//!
//! It works on an [`http::Request`] that holds the proxy's own headers, and on the hash of its
//! body. A signature is made when the connection is there, so that the time a request has waited
//! does not count, and again for every attempt. It covers the proxy's own headers only: others may
//! change on the way to the gateway.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};

use super::key_breaker::{KeyBreaker, KeyBreakers, Permit};
use crate::credentials::{Credentials, Kind, Lease, Secret};
use crate::error::Error;
use crate::gateway::AuthKind;
use crate::signature::{
    CONTENT_HASH_HEADER, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, Signer, SigningDate,
    Target, UNSIGNED_PAYLOAD,
};

/// The stage of the API that the request is for.
pub(super) const STAGE: HeaderName = HeaderName::from_static("x-stage");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");
const APP_CODE: HeaderName = HeaderName::from_static("x-apig-appcode");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// How requests authenticate.
#[derive(Clone, Debug)]
pub(super) enum RequestAuth {
    /// By a signature with this key.
    Signature(SigningKey),
    /// By a secret that is sent as it is.
    Header {
        kind: Kind,
        secret: SecretString,
        project_id: Option<HeaderValue>,
    },
}

/// A request that may be sent. Only [`RequestAuth::apply`] makes one.
pub(super) struct Signed<B>(Request<B>);

impl<B> Signed<B> {
    /// Returns the request for sending.
    pub(super) fn into_request(self) -> Request<B> {
        self.0
    }
}

impl RequestAuth {
    /// Makes a credential ready for use; `None` if no header can carry it.
    pub(super) fn new(
        kind: Kind,
        lease: &Lease,
        project_id: Option<&HeaderValue>,
        breakers: &KeyBreakers,
    ) -> Option<Self> {
        let project_id = project_id.or(lease.project_id.as_ref()).cloned();
        Some(match &lease.secret {
            Secret::Key(credentials) => {
                let mut key = SigningKey::new(credentials, project_id).ok()?;
                key.breaker = breakers.key_breaker(credentials);
                Self::Signature(key)
            }
            Secret::Text(secret) => Self::Header {
                kind,
                secret: secret.clone(),
                project_id,
            },
        })
    }

    /// The signing key, if it is one.
    pub(super) fn key(&self) -> Option<&SigningKey> {
        match self {
            Self::Signature(key) => Some(key),
            Self::Header { .. } => None,
        }
    }

    /// The circuit breaker of the key.
    pub(super) fn breaker(&self) -> Option<&KeyBreaker> {
        self.key().map(|key| &*key.breaker)
    }

    /// Acquires a permit to send a signed request. Other ways to authenticate need none, since
    /// nothing locks.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLocked`].
    pub(super) async fn permit(&self) -> Result<Option<Permit<'_>>, Error> {
        match self.breaker() {
            Some(breaker) => breaker.permit().await.map(Some),
            None => Ok(None),
        }
    }

    /// The kind of authentication, for hints.
    pub(super) fn kind(&self) -> AuthKind {
        match self {
            Self::Signature(_) => AuthKind::Signature,
            Self::Header { kind, .. } => match kind {
                Kind::AppCode => AuthKind::AppCode,
                Kind::ApiKey => AuthKind::ApiKey,
                Kind::Token | Kind::Key => AuthKind::Token,
            },
        }
    }

    /// The secret that is sent as it is, and that a response may repeat.
    pub(super) fn sent_secret(&self) -> Option<&SecretString> {
        match self {
            Self::Signature(key) => key.security_token.as_ref(),
            Self::Header { secret, .. } => Some(secret),
        }
    }

    /// Authenticates a request. `callers` are the caller's headers: they go last, because a gateway
    /// may read the first hundred only. Without a hash the body is not signed.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the request cannot be signed although it was let through.
    pub(super) fn apply<B>(
        &self,
        mut request: Request<B>,
        callers: &HeaderMap,
        hash: Option<&PayloadHash>,
        date: SigningDate,
    ) -> Result<Signed<B>, Error> {
        match self {
            Self::Signature(key) => key.sign(&mut request, hash, date)?,
            Self::Header {
                kind,
                secret,
                project_id,
            } => {
                let (name, prefix) = match kind {
                    Kind::AppCode => (APP_CODE, ""),
                    // The prefix is documented for the API keys of MaaS (maas-modelarts-0080).
                    Kind::ApiKey => (AUTHORIZATION, "Bearer "),
                    Kind::Token | Kind::Key => (AUTH_TOKEN, ""),
                };
                let headers = request.headers_mut();
                headers.extend(
                    project_id
                        .clone()
                        .map(|project_id| (PROJECT_ID, project_id)),
                );
                headers.insert(name, sensitive(&[prefix, secret.expose_secret()].concat())?);
            }
        }
        for (name, value) in callers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        Ok(Signed(request))
    }
}

/// A key that is ready to sign.
#[derive(Clone, Debug)]
pub struct SigningKey {
    signer: Signer,
    security_token: Option<SecretString>,
    project_id: Option<HeaderValue>,
    pub(super) breaker: Arc<KeyBreaker>,
}

/// The access key id or the security token cannot stand in a header.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the access key or the security token has characters that no header can carry; copy it again"
)]
pub struct SigningKeyError;

impl SigningKey {
    /// Prepares credentials for signing.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`].
    pub fn new(
        credentials: &Credentials,
        project_id: Option<HeaderValue>,
    ) -> Result<Self, SigningKeyError> {
        let access_key = &credentials.access_key;
        let security_token = credentials.security_token.clone();
        let token = security_token.as_ref().map(ExposeSecret::expose_secret);
        // Checked without making a copy that is not wiped.
        let is_value = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_value(access_key) || !token.is_none_or(is_value) {
            return Err(SigningKeyError);
        }
        Ok(Self {
            signer: Signer::new(access_key, &credentials.secret_key),
            security_token,
            project_id,
            breaker: Arc::default(),
        })
    }

    /// The access key id.
    #[cfg(test)]
    pub(super) fn access_key(&self) -> &str {
        self.signer.access_key()
    }

    /// Returns `true` for a temporary key.
    pub(super) fn is_temporary(&self) -> bool {
        self.security_token.is_some()
    }

    /// Shows the canonical request of a request with the proxy's own headers.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the request cannot be signed although it was let through.
    pub(super) fn canonical<B, T>(
        &self,
        request: &Request<B>,
        hash: Option<&PayloadHash>,
        date: SigningDate,
        show: impl FnOnce(&CanonicalRequest<'_>) -> T,
    ) -> Result<T, Error> {
        let own = |name| request.headers().get(name);
        let token = self.security_token.as_ref();
        let values = [
            ("host", own("host").map(HeaderValue::to_str)),
            (
                "x-project-id",
                self.project_id.as_ref().map(HeaderValue::to_str),
            ),
            (
                "x-security-token",
                token.map(|token| Ok(token.expose_secret())),
            ),
            ("x-stage", own("x-stage").map(HeaderValue::to_str)),
        ];
        let mut headers = Vec::with_capacity(values.len());
        for (name, value) in values {
            let value = value.transpose();
            let value = value.map_err(|_| Error::Internal("a header to sign is not ascii"))?;
            headers.extend(value.map(|value| (name, value)));
        }
        let target = request.uri().path_and_query();
        let target = Target::of_parsed(target.map_or("/", PathAndQuery::as_str));
        let payload = hash.map_or(Payload::Declared(UNSIGNED_PAYLOAD), Payload::Hash);
        let method = request.method().as_str();
        let canonical = CanonicalRequest::new(method, target, &headers, &date, payload);
        let canonical = canonical
            .map_err(|_| Error::BadRequest("the method is not written in capital letters"))?;
        Ok(show(&canonical))
    }

    /// Adds the signature and what belongs to it to the headers.
    fn sign<B>(
        &self,
        request: &mut Request<B>,
        hash: Option<&PayloadHash>,
        date: SigningDate,
    ) -> Result<(), Error> {
        let authorization = self.canonical(request, hash, date, |canonical| {
            tracing::trace!(canonical_request = %canonical.redacted(), "signing");
            self.signer.sign(canonical)
        })?;
        let headers = request.headers_mut();
        headers.extend(self.project_id.clone().map(|value| (PROJECT_ID, value)));
        if let Some(token) = &self.security_token {
            headers.insert(SECURITY_TOKEN, value(token.expose_secret())?);
        }
        headers.insert(DATE_HEADER, value(date.as_str())?);
        if hash.is_none() {
            let unsigned = HeaderValue::from_static(UNSIGNED_PAYLOAD);
            headers.insert(CONTENT_HASH_HEADER, unsigned);
        }
        let authorization = HeaderValue::try_from(authorization);
        headers.insert(AUTHORIZATION, authorization.map_err(|_| NOT_A_VALUE)?);
        Ok(())
    }
}

const NOT_A_VALUE: Error = Error::Internal("a header of the proxy's own is no header value");

fn value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| NOT_A_VALUE)
}

fn sensitive(secret: &str) -> Result<HeaderValue, Error> {
    let mut value = value(secret)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown_and_refused_if_no_header_can_carry_it() {
        let key = |access_key: &str, token: &str| {
            let credentials = Credentials {
                access_key: access_key.to_owned(),
                secret_key: "MARKERsecret".into(),
                security_token: Some(token.into()),
            };
            SigningKey::new(&credentials, None)
        };
        let good = key("AK", "MARKERtoken").unwrap();
        assert!(good.is_temporary() && !format!("{good:?}").contains("MARKER"));
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
