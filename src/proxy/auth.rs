//! How requests authenticate at the gateway: by a signature, or by a secret in a header.
//!
//! It works on an [`http::Request`] that holds the proxy's own headers, and on the hash of its
//! body. A signature is made when the connection is there, so that the time a request has waited
//! does not count, and again for every attempt. It covers the proxy's own headers only: others may
//! change on the way to the gateway.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};

use super::key_breaker::{KeyBreaker, KeyBreakers, Permit};
use super::redact::Redactor;
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
const DATE: HeaderName = HeaderName::from_static(DATE_HEADER);

/// The headers that a signature covers, besides those that are added to every signature.
static SIGNED: [HeaderName; 4] = [HOST, PROJECT_ID, SECURITY_TOKEN, STAGE];

/// A credential that is ready for use: a key that signs, or a secret in a header.
#[derive(Debug)]
pub(super) struct UsableCredential {
    pub(super) lease: Arc<Lease>,
    pub(super) kind: AuthMode,
    /// The header of a secret that is sent as it is.
    header: Option<(HeaderName, HeaderValue)>,
    pub(super) key: Option<SigningKey>,
    project_id: Option<HeaderValue>,
    /// One for each of its secrets.
    pub(super) redactors: Vec<Redactor>,
    /// The project ids that IAM has returned, by the index of their region.
    pub(super) projects: RefCell<HashMap<usize, HeaderValue>>,
}

/// A key that is ready to sign.
#[derive(Debug)]
pub(super) struct SigningKey {
    signer: Signer,
    pub(super) breaker: KeyBreaker,
}

/// What a signature covers besides the headers.
pub(super) struct ToSign<'a> {
    pub(super) algorithm: Algorithm<'a>,
    /// The target in the reading of the gateway.
    pub(super) target: Cow<'a, str>,
    /// The hash of the body; `None` if it is not signed.
    pub(super) hash: Option<&'a PayloadHash>,
    pub(super) date: SigningDate,
    /// The project id of the credential is sent if the request has none. A service gets that of its
    /// region instead.
    pub(super) takes_own_project: bool,
}

/// A request that may be sent. Only [`UsableCredential::apply`] makes one.
pub(super) struct Signed<B>(Request<B>);

impl<B> Signed<B> {
    /// The request, for the inspector, which hides its secrets.
    pub(super) fn request(&self) -> &Request<B> {
        &self.0
    }

    /// Returns the request for sending.
    pub(super) fn into_request(self) -> Request<B> {
        self.0
    }
}

impl UsableCredential {
    /// Makes a credential ready for use; `None` if no header can carry it.
    pub(super) fn new(
        kind: AuthMode,
        lease: Arc<Lease>,
        project_id: Option<&HeaderValue>,
        breakers: &KeyBreakers,
    ) -> Option<Self> {
        let (header, key) = match &lease.secret {
            Secret::Key(credentials) if !is_sendable(credentials) => return None,
            Secret::Key(credentials) => {
                let key = SigningKey {
                    signer: Signer::new(&credentials.access_key, &credentials.secret_key),
                    breaker: breakers.key_breaker(credentials),
                };
                (None, Some(key))
            }
            Secret::Text(secret) => (Some(secret_header(kind, secret)?), None),
        };
        let secrets = match &lease.secret {
            Secret::Key(key) => [key.security_token.as_ref(), Some(&key.secret_key)],
            Secret::Text(secret) => [Some(secret), None],
        };
        let secrets = secrets.into_iter().flatten();
        Some(Self {
            redactors: secrets.filter_map(Redactor::new).collect(),
            project_id: project_id.or(lease.project_id.as_ref()).cloned(),
            projects: RefCell::default(),
            lease,
            kind,
            header,
            key,
        })
    }

    /// Acquires a permit to send a signed request. Other credentials need none, since the gateway does
    /// not lock them.
    pub(super) async fn permit(&self) -> Result<Option<Permit<'_>>, Error> {
        match &self.key {
            Some(key) => key.breaker.permit().await.map(Some),
            None => Ok(None),
        }
    }

    /// True if it expires, or is a temporary key.
    pub(super) fn is_temporary(&self) -> bool {
        let has_token = self.key.is_some() && self.sent_secret().is_some();
        self.lease.lifetime.is_some() || has_token
    }

    /// The secret that is sent as it is, and that a response may repeat.
    pub(super) fn sent_secret(&self) -> Option<&SecretString> {
        match &self.lease.secret {
            Secret::Key(key) => key.security_token.as_ref(),
            Secret::Text(secret) => Some(secret),
        }
    }

    /// Authenticates a request. `callers` are the caller's headers: they go last, because a gateway
    /// may read the first hundred only.
    pub(super) fn apply<B>(
        &self,
        mut request: Request<B>,
        callers: &HeaderMap,
        to_sign: &ToSign<'_>,
    ) -> Result<Signed<B>, Error> {
        if let Some(key) = &self.key {
            let authorization = self.canonical(&mut request, to_sign, |canonical| {
                tracing::trace!(canonical_request = %canonical.redacted(), "signing");
                key.signer.sign(canonical)
            })?;
            let headers = request.headers_mut();
            headers.insert(DATE, value(to_sign.date.as_str())?);
            if to_sign.hash.is_none() {
                let unsigned = HeaderValue::from_static(UNSIGNED_PAYLOAD);
                headers.insert(to_sign.algorithm.content_hash_header(), unsigned);
            }
            headers.insert(AUTHORIZATION, value(&authorization)?);
        } else {
            self.add_project_id(request.headers_mut(), to_sign);
        }
        let headers = request.headers_mut();
        if let Some((name, value)) = &self.header {
            headers.insert(name, value.clone());
        }
        for (name, value) in callers {
            headers.append(name.clone(), value.clone());
        }
        Ok(Signed(request))
    }

    /// Adds the headers of the credential to a request that has the proxy's other headers, and shows
    /// its canonical request.
    pub(super) fn canonical<B, T>(
        &self,
        request: &mut Request<B>,
        to_sign: &ToSign<'_>,
        show: impl FnOnce(&CanonicalRequest<'_>) -> T,
    ) -> Result<T, Error> {
        let headers = request.headers_mut();
        self.add_project_id(headers, to_sign);
        if let Some(token) = self.sent_secret() {
            headers.insert(SECURITY_TOKEN, value(token.expose_secret())?);
        }
        let mut signed = Vec::with_capacity(SIGNED.len());
        for name in &SIGNED {
            if let Some(value) = request.headers().get(name) {
                let value = value.to_str();
                let value = value.map_err(|_| Error::Internal("a header to sign is not ascii"))?;
                signed.push((name.as_str(), value));
            }
        }
        let hash = to_sign.hash;
        let canonical = CanonicalRequest::new(
            to_sign.algorithm,
            request.method().as_str(),
            Target::of_parsed(&to_sign.target),
            &signed,
            &to_sign.date,
            hash.map_or(Payload::Declared(UNSIGNED_PAYLOAD), Payload::Hash),
        );
        let canonical = canonical
            .map_err(|_| Error::BadRequest("the method is not one word in capital letters"))?;
        Ok(show(&canonical))
    }

    /// Adds the project id of the credential, unless there is that of the caller.
    fn add_project_id(&self, headers: &mut HeaderMap, to_sign: &ToSign<'_>) {
        if let Some(project_id) = &self.project_id
            && to_sign.takes_own_project
            && !headers.contains_key(PROJECT_ID)
        {
            headers.insert(PROJECT_ID, project_id.clone());
        }
    }
}

/// True if headers can carry what is sent of a key. Checked without a copy, which would not be wiped.
fn is_sendable(credentials: &Credentials) -> bool {
    let is_value = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let token = credentials.security_token.as_ref();
    is_value(&credentials.access_key) && token.is_none_or(|token| is_value(token.expose_secret()))
}

fn secret_header(kind: AuthMode, secret: &SecretString) -> Option<(HeaderName, HeaderValue)> {
    let (name, prefix) = match kind {
        AuthMode::AppCode => (APP_CODE, ""),
        // The prefix is documented for the API keys of MaaS (maas-modelarts-0080).
        AuthMode::ApiKey => (AUTHORIZATION, "Bearer "),
        AuthMode::Token | AuthMode::AkSk => (AUTH_TOKEN, ""),
    };
    let mut value = value(&[prefix, secret.expose_secret()].concat()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    let not_a_value = Error::Internal("a header of the proxy's own is no header value");
    HeaderValue::from_str(text).map_err(|_| not_a_value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Origin;

    #[test]
    fn a_key_is_not_shown_and_refused_if_no_header_can_carry_it() {
        let key = |[access_key, token]: [&str; 2]| {
            let credentials = Credentials {
                access_key: access_key.to_owned(),
                secret_key: "MARKERsecret".into(),
                security_token: Some(token.into()),
            };
            let lease = Lease::lasting(Secret::Key(credentials), Origin::Environment("A"));
            let breakers = KeyBreakers::default();
            UsableCredential::new(AuthMode::AkSk, Arc::new(lease), None, &breakers)
        };
        let good = key(["AK", "MARKERtoken"]).unwrap();
        assert!(!format!("{good:?}").contains("MARKER"));
        for wrong in [["A\nK", "t"], ["AK", "t\r\nx: y"], ["AK", "\u{e9}"]] {
            assert!(key(wrong).is_none(), "{wrong:?}");
        }
    }
}
