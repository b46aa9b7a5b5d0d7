//! Third step: the signature. It is made when the connection is there, so that the time a request has
//! waited does not count, and anew for every attempt.

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};

use super::body::RequestBody;
use super::payload::{Prepared, Reply};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::signature::{
    CONTENT_HASH_HEADER, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, Signer, SigningDate,
    Target, UNSIGNED_PAYLOAD,
};

const X_SDK_DATE: HeaderName = HeaderName::from_static(DATE_HEADER);
const X_SDK_CONTENT_SHA256: HeaderName = HeaderName::from_static(CONTENT_HASH_HEADER);
const X_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");
const X_PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");

/// The headers that are signed when a request has them. All are the proxy's own: others may change
/// on the way to the gateway, and then the signature would not match.
const SIGNED: [&str; 4] = ["host", "x-project-id", "x-security-token", "x-stage"];

/// A key that is ready to sign.
#[derive(Clone, Debug)]
pub struct SigningKey {
    signer: Signer,
    security_token: Option<HeaderValue>,
    project_id: Option<HeaderValue>,
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
        secret_value(access_key.clone())?;
        let token = |token: &SecretString| secret_value(token.expose_secret().to_owned());
        let security_token = credentials.security_token.as_ref().map(token).transpose()?;
        Ok(Self {
            signer: Signer::new(access_key, &credentials.secret_key),
            security_token,
            project_id,
        })
    }
}

/// A request that carries its signature. Only [`sign`] makes one.
#[derive(Debug)]
pub(super) struct Signed {
    request: Request<RequestBody>,
    hash: Option<PayloadHash>,
    reply: Reply,
}

impl Signed {
    /// Takes the request out for sending.
    pub(super) fn into_parts(self) -> (Request<RequestBody>, Unanswered) {
        (
            self.request,
            Unanswered {
                hash: self.hash,
                reply: self.reply,
            },
        )
    }
}

/// What stays here while a request is under way.
#[derive(Debug)]
pub(super) struct Unanswered {
    hash: Option<PayloadHash>,
    pub(super) reply: Reply,
}

impl Unanswered {
    /// The request again, to be signed anew.
    pub(super) fn again(self, request: Request<RequestBody>) -> Prepared {
        Prepared {
            request,
            hash: self.hash,
            reply: self.reply,
        }
    }
}

/// Signs a request.
///
/// # Errors
///
/// [`Error::Internal`] if the request cannot be signed although it was admitted.
pub(super) fn sign(
    prepared: Prepared,
    key: &SigningKey,
    date: &SigningDate,
) -> Result<Signed, Error> {
    let Prepared {
        mut request,
        hash,
        reply,
    } = prepared;
    let headers = request.headers_mut();
    if let Some(token) = &key.security_token {
        headers.insert(X_SECURITY_TOKEN, token.clone());
    }
    if let Some(id) = &key.project_id {
        headers.insert(X_PROJECT_ID, id.clone());
    }
    let authorization = authorization(&request, hash.as_ref(), key, date)?;
    let headers = request.headers_mut();
    let date = HeaderValue::from_str(date.as_str()).map_err(|_| Error::Internal("date"))?;
    headers.insert(X_SDK_DATE, date);
    if hash.is_none() {
        headers.insert(
            X_SDK_CONTENT_SHA256,
            HeaderValue::from_static(UNSIGNED_PAYLOAD),
        );
    }
    headers.insert(AUTHORIZATION, authorization);
    Ok(Signed {
        request,
        hash,
        reply,
    })
}

fn authorization(
    request: &Request<RequestBody>,
    hash: Option<&PayloadHash>,
    key: &SigningKey,
    date: &SigningDate,
) -> Result<HeaderValue, Error> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let target = Target::parse(target)?;
    let payload = hash.map_or(Payload::Declared(UNSIGNED_PAYLOAD), Payload::Hash);
    let mut headers = Vec::with_capacity(SIGNED.len());
    for name in SIGNED {
        if let Some(value) = request.headers().get(name) {
            headers.push((
                name,
                value
                    .to_str()
                    .map_err(|_| Error::Internal("a header to sign is not ascii"))?,
            ));
        }
    }
    let canonical =
        CanonicalRequest::new(request.method().as_str(), target, &headers, date, payload)
            .map_err(|_| Error::BadRequest("the method is not written in capital letters"))?;
    tracing::trace!(canonical_request = %canonical.redacted(), "signing");
    secret_value(key.signer.sign(&canonical).into_authorization())
        .map_err(|_| Error::Internal("the access key cannot stand in a header"))
}

/// A header value that debug output leaves out.
fn secret_value(text: String) -> Result<HeaderValue, SigningKeyError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| SigningKeyError::NotAHeaderValue)?;
    value.set_sensitive(true);
    Ok(value)
}
