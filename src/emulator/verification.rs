//! Verifies requests as API Gateway does: limits, stage, and one proof of who sends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, request};
use hyper::body::Incoming;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::key_store::{KeyStore, Owner, State};
use super::limits::{MAX_BODY, MAX_BODY_WITH_TOKEN, check_head, check_stage, read, set_host};
use super::observer::ReceivedBody;
use super::refusal::Refused;
use super::serve::Services;
use crate::clock;
use crate::lock::lock;
use crate::signature::{
    Algorithm, PayloadHash, Presented, ReceivedRequest, Refusal, SigningDate, Verified, verify,
};

/// The greatest distance of a date from the clock.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);

/// What a request authenticates with.
///
/// The limit of a body depends on it. A request with two is refused even if both are good: which of
/// them the real gateway would take depends on how its API was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authentication<'a> {
    /// A signature, or nothing: then the verifier says what is missing.
    Signature,
    /// `X-Auth-Token`.
    Token(&'a [u8]),
    /// `X-Apig-AppCode`.
    AppCode(&'a [u8]),
    /// `Authorization: Bearer …`.
    ApiKey(&'a [u8]),
    /// More than one of them.
    Several,
}

impl Services {
    /// Verifies a request and reads its body, for a response that shows what was received.
    pub(super) async fn verify(
        &self,
        start: Instant,
        parts: &mut request::Parts,
        body: Incoming,
        received: &mut ReceivedBody,
    ) -> Result<Value, Refused> {
        count(&self.counts.requests);
        set_host(parts)?;
        check_head(target(parts), &parts.headers)?;
        let limit = Authentication::from_headers(&parts.headers).limit();
        let hash = read(body, received, algorithm(parts), limit).await?;
        received.hashed = Some((start.elapsed(), hash));
        check_stage(&parts.headers)?;
        let (mode, verified) = self.authenticate(parts, &hash)?;
        count(&self.counts.verified);
        let target = target(parts);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), shown(name.as_str(), value)));
        let signature = verified.as_ref();
        Ok(json!({
            "verified": true,
            "auth": mode,
            "method": parts.method.as_str(),
            "path": path,
            "query": query,
            "headers": headers.collect::<Vec<_>>(),
            "body_bytes": received.length,
            "body_sha256": hash.as_str(),
            "body_signed": signature.is_some_and(|signature| signature.body_signed),
            "access_key": signature.map(|signature| &signature.access_key),
            "signed_headers": signature.map(|signature| &signature.signed_headers),
        }))
    }

    /// Checks who sends the request: how it authenticates, and its signature if it has one.
    fn authenticate(
        &self,
        parts: &request::Parts,
        body: &PayloadHash,
    ) -> Result<(&'static str, Option<Verified>), Refused> {
        let now = clock::timestamp();
        let mut store = lock(&self.store);
        let mode = match Authentication::from_headers(&parts.headers) {
            Authentication::Signature => {
                let (mode, verified) = self.verify_signature(&mut store, parts, body, now)?;
                return Ok((mode, Some(verified)));
            }
            Authentication::Token(token) => {
                self.check_token(store.token(token, now))?;
                "token"
            }
            Authentication::AppCode(code) if is_known(&store.accounts.app_codes, code) => {
                "app-code"
            }
            Authentication::AppCode(_) => {
                return Err(Refused::app("app not found with specified appCode"));
            }
            Authentication::ApiKey(key) if is_known(&store.accounts.api_keys, key) => "api-key",
            // MaaS, error codes.
            Authentication::ApiKey(_) => {
                let message = "Invalid authorization header.";
                return Err(Refused::new(401, "ModelArts.81003", message));
            }
            Authentication::Several => return Err(Refused::iam("more than one authentication")),
        };
        Ok((mode, None))
    }

    fn check_token(&self, state: State) -> Result<(), Refused> {
        match state {
            State::Valid => Ok(()),
            State::Expired => {
                count(&self.counts.refused_expired_tokens);
                Err(Refused::new(401, "APIG.0307", "The token must be updated."))
            }
            State::Unknown | State::Locked => Err(Refused::iam("decrypt token fail")),
        }
    }

    fn verify_signature(
        &self,
        store: &mut KeyStore,
        parts: &request::Parts,
        body: &PayloadHash,
        now: Timestamp,
    ) -> Result<(&'static str, Verified), Refused> {
        let date = SigningDate::from_unix_seconds(now.as_second());
        let date = date.map_err(|_| Refused::iam("Unauthorized"))?;
        let authorization = parts.headers.get("authorization");
        let access_key = authorization
            .and_then(|value| Presented::parse(value.to_str().ok()?).ok())
            .map_or("", |presented| presented.access_key);
        self.check_key(store.key(access_key, now))?;
        let request = ReceivedRequest {
            method: parts.method.as_str(),
            target: &self.readings.target(target(parts)),
            headers: &header_pairs(&parts.headers, self.readings.limit()),
            body,
        };
        let token = parts.headers.get("x-security-token");
        let token = token.map(HeaderValue::as_bytes);
        let signer = |key: &str| store.signer(key, token);
        let verified = verify(&request, signer, &date, WINDOW);
        match &verified {
            Ok(_) => store.signed(access_key, true, now),
            Err(Refusal::Mismatch { .. }) => store.signed(access_key, false, now),
            Err(_) => {}
        }
        let owner = store.owner(access_key);
        let verified = verified.map_err(|refusal| Refused::signature(&refusal, owner))?;
        let mode = match owner {
            Owner::Iam => "aksk",
            Owner::App => "app",
        };
        Ok((mode, verified))
    }

    /// Refuses a key that is locked or has expired, whatever it signs.
    fn check_key(&self, state: State) -> Result<(), Refused> {
        match state {
            State::Valid | State::Unknown => Ok(()),
            State::Expired => {
                count(&self.counts.refused_expired);
                let message = "calc ak sk signature fail:signature expired";
                Err(Refused::iam(message))
            }
            State::Locked => {
                let message = "AK access failed to reach the limit,forbidden.";
                Err(Refused::iam(message))
            }
        }
    }
}

impl<'a> Authentication<'a> {
    fn from_headers(headers: &'a HeaderMap) -> Self {
        let all = |name: &'static str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let authorization = all("authorization");
        let mut all = authorization
            .map(|value| bearer(value).map_or(Self::Signature, Self::ApiKey))
            .chain(all("x-auth-token").map(Self::Token))
            .chain(all("x-apig-appcode").map(Self::AppCode));
        match (all.next(), all.next()) {
            (None, _) => Self::Signature,
            (Some(only), None) => only,
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// The longest body that is accepted with it.
    fn limit(self) -> u64 {
        match self {
            Self::Token(_) => MAX_BODY_WITH_TOKEN,
            _ => MAX_BODY,
        }
    }
}

/// The key of `Bearer …`, whose first word has no case (RFC 9110 §11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = authorization.split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| key.trim_ascii())
}

fn is_known(secrets: &[SecretString], sent: &[u8]) -> bool {
    let mut secrets = secrets.iter();
    secrets.any(|secret| secret.expose_secret().as_bytes() == sent)
}

/// The algorithm of the signature, whose hash the body has.
fn algorithm(parts: &request::Parts) -> Algorithm<'static> {
    let authorization = parts.headers.get("authorization");
    Algorithm::of_authorization(authorization.map_or(b"", HeaderValue::as_bytes))
}

/// The first headers, up to a limit, as the verifier takes them.
pub(crate) fn header_pairs(headers: &HeaderMap, limit: usize) -> Vec<(&str, &[u8])> {
    let pairs = headers.iter().take(limit);
    pairs
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// The target of a request, without scheme and host.
pub(crate) fn target(parts: &request::Parts) -> &str {
    let target = parts.uri.path_and_query();
    target.map_or("/", |target| target.as_str())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn shown(name: &str, value: &HeaderValue) -> String {
    let value = value.as_bytes();
    let is_secret = match name {
        "x-security-token" | "x-auth-token" | "x-apig-appcode" => true,
        "authorization" => !Algorithm::NAMES
            .iter()
            .any(|name| value.starts_with(name.as_bytes())),
        _ => false,
    };
    if is_secret {
        return "[redacted]".to_owned();
    }
    // One character for each byte, so that nothing is lost.
    value.iter().map(|byte| char::from(*byte)).collect()
}
