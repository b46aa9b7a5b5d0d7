//! How requests authenticate at the gateway: by a signature, or by a secret in a header.
//!
//! It works on an [`http::Request`] that holds the proxy's own headers, and on the hash of its
//! body. A signature is made when the connection is there, so that the time a request has waited
//! does not count, and again for every attempt. It covers the proxy's own headers only: others may
//! change on the way to the gateway.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};

use super::key_breaker::{KeyBreaker, KeyBreakers, Permit};
use crate::config::AuthMode;
use crate::credentials::{Credentials, Lease, Secret};
use crate::error::Error;
use crate::signature::{
    Algorithm, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, Signer, SigningDate, Target,
    UNSIGNED_PAYLOAD,
};

/// The stage of the API that the request is for.
pub(super) const STAGE: HeaderName = HeaderName::from_static("x-stage");
/// The project that the request is for.
pub(super) const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");
const APP_CODE: HeaderName = HeaderName::from_static("x-apig-appcode");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The headers that a signature covers, besides those that are added to every signature.
static SIGNED: [HeaderName; 4] = [HOST, PROJECT_ID, SECURITY_TOKEN, STAGE];

/// How requests authenticate.
#[derive(Clone, Debug)]
pub(super) enum RequestAuth {
    /// By a signature with this key.
    Signature(SigningKey),
    /// By a secret that is sent as it is.
    Header {
        kind: AuthMode,
        header: (HeaderName, HeaderValue),
        secret: SecretString,
        project_id: Option<HeaderValue>,
    },
}

/// What a signature covers besides the headers.
pub(super) struct ToSign<'a> {
    pub(super) algorithm: Algorithm<'a>,
    /// The target in the reading of the gateway.
    pub(super) target: Cow<'a, str>,
    /// The hash of the body; `None` if it is not signed.
    pub(super) hash: Option<&'a PayloadHash>,
    pub(super) date: SigningDate,
}

/// A request that may be sent. Only [`RequestAuth::apply`] makes one.
pub(super) struct Signed<B>(Request<B>);

impl<B> Signed<B> {
    /// The request, to be shown without its secrets.
    pub(super) fn request(&self) -> &Request<B> {
        &self.0
    }

    /// Returns the request for sending.
    pub(super) fn into_request(self) -> Request<B> {
        self.0
    }
}

impl RequestAuth {
    /// Makes a credential ready for use; `None` if no header can carry it.
    pub(super) fn new(
        kind: AuthMode,
        lease: &Lease,
        project_id: Option<&HeaderValue>,
        breakers: &KeyBreakers,
    ) -> Option<Self> {
        let project_id = project_id.or(lease.project_id.as_ref()).cloned();
        Some(match &lease.secret {
            Secret::Key(credentials) => {
                let mut key = SigningKey::new(credentials, project_id)?;
                key.breaker = breakers.key_breaker(credentials);
                Self::Signature(key)
            }
            Secret::Text(secret) => {
                let (name, prefix) = match kind {
                    AuthMode::AppCode => (APP_CODE, ""),
                    // The prefix is documented for the API keys of MaaS (maas-modelarts-0080).
                    AuthMode::ApiKey => (AUTHORIZATION, "Bearer "),
                    AuthMode::Token | AuthMode::AkSk => (AUTH_TOKEN, ""),
                };
                let mut value = value(&[prefix, secret.expose_secret()].concat()).ok()?;
                value.set_sensitive(true);
                Self::Header {
                    kind,
                    header: (name, value),
                    secret: secret.clone(),
                    project_id,
                }
            }
        })
    }

    /// The signing key, if it is one.
    pub(super) fn key(&self) -> Option<&SigningKey> {
        match self {
            Self::Signature(key) => Some(key),
            Self::Header { .. } => None,
        }
    }

    /// Acquires a permit to send a signed request. Other ways to authenticate need none, since
    /// nothing locks.
    ///
    /// # Errors
    ///
    /// [`Error::KeyLocked`].
    pub(super) async fn permit(&self) -> Result<Option<Permit<'_>>, Error> {
        match self {
            Self::Signature(key) => key.breaker.permit().await.map(Some),
            Self::Header { .. } => Ok(None),
        }
    }

    /// The kind of the credential.
    pub(super) fn kind(&self) -> AuthMode {
        match self {
            Self::Signature(_) => AuthMode::AkSk,
            Self::Header { kind, .. } => *kind,
        }
    }

    /// True for a temporary key.
    pub(super) fn is_temporary(&self) -> bool {
        self.key().is_some_and(|key| key.security_token.is_some())
    }

    /// The secret that is sent as it is, and that a response may repeat.
    pub(super) fn sent_secret(&self) -> Option<&SecretString> {
        match self {
            Self::Signature(key) => key.security_token.as_ref(),
            Self::Header { secret, .. } => Some(secret),
        }
    }

    /// Authenticates a request. `callers` are the caller's headers: they go last, because a gateway
    /// may read the first hundred only.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the request cannot be signed although it was let through.
    pub(super) fn apply<B>(
        &self,
        mut request: Request<B>,
        callers: &HeaderMap,
        to_sign: &ToSign<'_>,
    ) -> Result<Signed<B>, Error> {
        match self {
            Self::Signature(key) => key.sign(&mut request, to_sign)?,
            Self::Header {
                header: (name, value),
                project_id,
                ..
            } => {
                let headers = request.headers_mut();
                add_project_id(headers, project_id.as_ref());
                headers.insert(name, value.clone());
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

impl SigningKey {
    /// Prepares credentials for signing; `None` if the access key id or the security token cannot
    /// stand in a header.
    #[must_use]
    pub fn new(credentials: &Credentials, project_id: Option<HeaderValue>) -> Option<Self> {
        let access_key = &credentials.access_key;
        let security_token = credentials.security_token.clone();
        let token = security_token.as_ref().map(ExposeSecret::expose_secret);
        // Checked without making a copy that is not wiped.
        let is_value = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (is_value(access_key) && token.is_none_or(is_value)).then(|| Self {
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

    /// Adds the headers of the key to a request that has the proxy's other headers, and shows its
    /// canonical request.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the request cannot be signed although it was let through.
    pub(super) fn canonical<B, T>(
        &self,
        request: &mut Request<B>,
        to_sign: &ToSign<'_>,
        show: impl FnOnce(&CanonicalRequest<'_>) -> T,
    ) -> Result<T, Error> {
        let headers = request.headers_mut();
        add_project_id(headers, self.project_id.as_ref());
        if let Some(token) = &self.security_token {
            headers.insert(SECURITY_TOKEN, value(token.expose_secret())?);
        }
        let mut signed = Vec::with_capacity(SIGNED.len());
        for name in &SIGNED {
            let value = request
                .headers()
                .get(name)
                .map(HeaderValue::to_str)
                .transpose();
            let value = value.map_err(|_| Error::Internal("a header to sign is not ascii"))?;
            signed.extend(value.map(|value| (name.as_str(), value)));
        }
        let ToSign {
            algorithm,
            target,
            hash,
            date,
        } = to_sign;
        let target = Target::of_parsed(target);
        let payload = hash.map_or(Payload::Declared(UNSIGNED_PAYLOAD), Payload::Hash);
        let method = request.method().as_str();
        let canonical =
            CanonicalRequest::with_algorithm(*algorithm, method, target, &signed, date, payload);
        let canonical = canonical
            .map_err(|_| Error::BadRequest("the method is not written in capital letters"))?;
        Ok(show(&canonical))
    }

    /// Adds the signature and what belongs to it to the headers.
    fn sign<B>(&self, request: &mut Request<B>, to_sign: &ToSign<'_>) -> Result<(), Error> {
        let authorization = self.canonical(request, to_sign, |canonical| {
            tracing::trace!(canonical_request = %canonical.redacted(), "signing");
            self.signer.sign(canonical)
        })?;
        let headers = request.headers_mut();
        headers.insert(DATE_HEADER, value(to_sign.date.as_str())?);
        if to_sign.hash.is_none() {
            let unsigned = HeaderValue::from_static(UNSIGNED_PAYLOAD);
            headers.insert(to_sign.algorithm.content_hash_header(), unsigned);
        }
        headers.insert(AUTHORIZATION, value(&authorization)?);
        Ok(())
    }
}

/// Adds the project id of a credential, unless there is that of the caller.
fn add_project_id(headers: &mut HeaderMap, project_id: Option<&HeaderValue>) {
    if let Some(project_id) = project_id.filter(|_| !headers.contains_key(PROJECT_ID)) {
        headers.insert(PROJECT_ID, project_id.clone());
    }
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    let not_a_value = Error::Internal("a header of the proxy's own is no header value");
    HeaderValue::from_str(text).map_err(|_| not_a_value)
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
        assert!(!format!("{good:?}").contains("MARKER"));
        for (access_key, token) in [
            ("A\nK", "t"),
            ("AK", "t\r\nx: y"),
            ("AK", "\u{e9}"),
            ("A\u{7f}", "t"),
        ] {
            assert!(key(access_key, token).is_none(), "{access_key:?} {token:?}");
        }
    }
}
