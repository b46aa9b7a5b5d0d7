//! How requests authenticate at the gateway: by a signature, or by a secret in a header.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use secrecy::{ExposeSecret, SecretString};

use super::body::RequestBody;
use super::key_breaker::{KeyBreaker, KeyBreakers, Permit};
use super::loop_detection::HOP_HEADER;
use super::prepare::Prepared;
use super::sign::{Signable, SigningKey};
use crate::config::Route;
use crate::credentials::{Issued, Kind, Secret};
use crate::error::Error;
use crate::gateway::Shows;
use crate::signature::SigningDate;

const STAGE: HeaderName = HeaderName::from_static("x-stage");
const PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
const APP_CODE: HeaderName = HeaderName::from_static("x-apig-appcode");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// How requests authenticate.
#[derive(Clone, Debug)]
pub(super) enum RequestAuth {
    /// By a signature with this key.
    Signature(SigningKey),
    /// By a secret in a header.
    Header(HeaderAuth),
}

/// A secret that is sent as it is.
#[derive(Clone, Debug)]
pub(super) struct HeaderAuth {
    kind: Kind,
    secret: SecretString,
    project_id: Option<HeaderValue>,
}

/// A request that may be sent. Only [`RequestAuth::apply`] makes one.
pub(super) struct Signed(Request<RequestBody>);

/// What the head of one attempt depends on besides the request.
pub(super) struct Attempt<'a> {
    pub(super) route: &'a Route,
    pub(super) date: SigningDate,
    pub(super) is_http2: bool,
}

impl Signed {
    /// Takes the request out for sending.
    pub(super) fn into_request(self) -> Request<RequestBody> {
        self.0
    }
}

impl RequestAuth {
    /// Makes a credential ready for use; `None` if no header can carry it.
    pub(super) fn new(
        kind: Kind,
        issued: &Issued,
        project_id: Option<&HeaderValue>,
        breakers: &KeyBreakers,
    ) -> Option<Self> {
        let project_id = project_id.or(issued.project_id.as_ref()).cloned();
        match &issued.secret {
            Secret::Key(credentials) => {
                let key = SigningKey::new(credentials, project_id).ok()?;
                Some(Self::Signature(
                    key.sharing(breakers.key_breaker(credentials)),
                ))
            }
            Secret::Text(secret) => Some(Self::Header(HeaderAuth {
                kind,
                secret: secret.clone(),
                project_id,
            })),
        }
    }

    /// The signing key, if it is one.
    pub(super) fn key(&self) -> Option<&SigningKey> {
        match self {
            Self::Signature(key) => Some(key),
            Self::Header(_) => None,
        }
    }

    /// The circuit breaker of the key.
    pub(super) fn breaker(&self) -> Option<&KeyBreaker> {
        self.key().map(|key| &**key.breaker())
    }

    /// Acquires a permit to send a signed request. Other ways to authenticate need none, since nothing locks.
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

    /// The way to authenticate, as far as advice depends on it.
    pub(super) fn shows(&self) -> Shows {
        match self {
            Self::Signature(_) => Shows::Signature,
            Self::Header(header) => match header.kind {
                Kind::AppCode => Shows::AppCode,
                Kind::ApiKey => Shows::ApiKey,
                Kind::Token | Kind::Key => Shows::Token,
            },
        }
    }

    /// The secret that is sent as it is, and that an answer may repeat.
    pub(super) fn sent_secret(&self) -> Option<&SecretString> {
        match self {
            Self::Signature(key) => key.security_token(),
            Self::Header(header) => Some(&header.secret),
        }
    }

    /// Authenticates one attempt at a request.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the request cannot be signed although it was let through.
    pub(super) fn apply(
        &self,
        prepared: &Prepared,
        attempt: &Attempt<'_>,
        body: RequestBody,
    ) -> Result<Signed, Error> {
        // The proxy's own headers go first: a gateway may read the first hundred only.
        let mut headers = HeaderMap::with_capacity(prepared.headers.len() + 12);
        own_headers(&mut headers, prepared, attempt);
        match self {
            Self::Signature(key) => {
                let signable = Signable::new(prepared, attempt.route, key, attempt.date)?;
                signable.sign(key, &mut headers)?;
            }
            Self::Header(header) => header.add_to(&mut headers)?,
        }
        for (name, value) in &prepared.headers {
            headers.append(name, value.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = prepared.method.clone();
        *request.uri_mut() = prepared.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(Signed(request))
    }
}

/// What the proxy sets on every request, but for what authenticates it.
fn own_headers(headers: &mut HeaderMap, prepared: &Prepared, attempt: &Attempt<'_>) {
    headers.insert(HOST, attempt.route.upstream.authority.clone());
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(&prepared.method);
    match prepared.body.length() {
        // Without it, gateways answer 411 to a method that is defined with a body.
        Some(0) if !expects_body => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        // hyper takes the body of a GET for empty without it.
        None if !attempt.is_http2 => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        None => {}
    }
    headers.insert(STAGE, attempt.route.stage.clone());
    headers.insert(HOP_HEADER, prepared.hops.clone());
    if prepared.is_websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if attempt.is_http2 && prepared.context.takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

impl HeaderAuth {
    fn add_to(&self, headers: &mut HeaderMap) -> Result<(), Error> {
        if let Some(project_id) = &self.project_id {
            headers.insert(PROJECT_ID, project_id.clone());
        }
        let (name, prefix) = match self.kind {
            Kind::AppCode => (APP_CODE, ""),
            // The prefix is documented for the API keys of MaaS (maas-modelarts-0080).
            Kind::ApiKey => (AUTHORIZATION, "Bearer "),
            Kind::Token | Kind::Key => (AUTH_TOKEN, ""),
        };
        let value = [prefix, self.secret.expose_secret()].concat();
        let value = HeaderValue::try_from(value);
        let mut value = value.map_err(|_| Error::Internal("a secret is no header value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}
