//! Judges a request as API Gateway does: limits, stage, and one proof of who sends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, request};
use http_body_util::{BodyExt, Empty, Limited, StreamBody};
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;

use super::Counts;
use super::accounts::Limits;
use super::authentication::{Authentication, Mode};
use super::backend::Body;
use super::known::{Known, Owner, TokenState};
use super::lockout::Lockout;
use super::reading::{ReadBody, check_head, check_stage, read, set_host};
use super::refusal::Refused;
use super::time::Clock;
use crate::signature::{
    ALGORITHM, CONTENT_HASH_HEADER, PayloadHash, Presented, ReceivedRequest, Refusal, SigningDate,
    UNSIGNED_PAYLOAD, Verified, verify,
};

/// How far a date may be off.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// What judges, and what it goes by.
#[derive(Debug)]
pub(super) struct Gateway {
    known: Arc<Known>,
    limits: Limits,
    lockout: Lockout,
    clock: Clock,
    counts: Arc<Counts>,
}

/// A request that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: ReadBody,
    pub(super) proof: Proof,
}

/// How a request proved who sent it.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) mode: Mode,
    /// What is to be said of its signature, if it has one.
    pub(super) verified: Option<Verified>,
}

impl Gateway {
    pub(super) fn new(
        known: Arc<Known>,
        limits: Limits,
        clock: Clock,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            known,
            limits,
            lockout: Lockout::default(),
            clock,
            counts,
        }
    }

    /// Judges a request, and reads its body.
    pub(super) async fn judge(&self, request: Request<Incoming>) -> Result<Accepted, Refused> {
        let (parts, body) = self.head(request)?;
        let limit = self.longest(Authentication::of(&parts.headers));
        let body = read(body, limit, drop).await?;
        let proof = self.check(&parts, &body.hash)?;
        let target = target(&parts);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = parts.headers.iter().map(|(name, value)| {
            let name = name.as_str();
            (name.to_owned(), shown(name, value.as_bytes()))
        });
        Ok(Accepted {
            method: parts.method.to_string(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.collect(),
            body,
            proof,
        })
    }

    /// Judges a request that is for the backend, and returns it with its body.
    ///
    /// A body that the signature covers is read first; any other streams, so that the backend can respond
    /// before all of it has arrived.
    pub(super) async fn judge_for_backend(
        &self,
        request: Request<Incoming>,
    ) -> Result<Request<Body>, Refused> {
        let (parts, body) = self.head(request)?;
        let authentication = Authentication::of(&parts.headers);
        let limit = self.longest(authentication);
        let body = if covers_body(authentication, &parts.headers) {
            let mut frames = Vec::new();
            let read = read(body, limit, |frame| frames.push(Ok(frame))).await?;
            self.check(&parts, &read.hash)?;
            if frames.is_empty() {
                Empty::new().map_err(|never| match never {}).boxed_unsync()
            } else {
                StreamBody::new(stream::iter(frames)).boxed_unsync()
            }
        } else {
            if body.size_hint().lower() > limit {
                return Err(Refused::too_large());
            }
            self.check(&parts, &PayloadHash::of(b""))?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Limited::new(body, limit).boxed_unsync()
        };
        Ok(Request::from_parts(parts, body))
    }

    /// Takes note of a request, and checks what its head can tell without credentials.
    fn head(&self, request: Request<Incoming>) -> Result<(request::Parts, Incoming), Refused> {
        count(&self.counts.requests);
        let (mut parts, body) = request.into_parts();
        set_host(&mut parts)?;
        check_head(target(&parts), &parts.headers)?;
        Ok((parts, body))
    }

    /// Checks the stage and who sends the request.
    fn check(&self, parts: &request::Parts, body: &PayloadHash) -> Result<Proof, Refused> {
        check_stage(&parts.headers)?;
        let headers: Vec<(&str, &[u8])> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let received = ReceivedRequest {
            method: parts.method.as_str(),
            target: target(parts),
            headers: &headers,
            body,
        };
        let authentication = Authentication::of(&parts.headers);
        let proof = self.prove(authentication, &received, &parts.headers)?;
        count(&self.counts.verified);
        Ok(proof)
    }

    fn longest(&self, authentication: Authentication<'_>) -> u64 {
        match authentication {
            Authentication::Token(_) => self.limits.body_with_token,
            _ => self.limits.body,
        }
    }

    fn prove(
        &self,
        authentication: Authentication<'_>,
        request: &ReceivedRequest<'_>,
        headers: &HeaderMap,
    ) -> Result<Proof, Refused> {
        let now = self.clock.now();
        let unsigned = |mode| Proof {
            mode,
            verified: None,
        };
        match authentication {
            Authentication::Signature => self.verify(request, headers, now),
            Authentication::Token(token) => match self.known.token(token, now) {
                TokenState::Valid => Ok(unsigned(Mode::Token)),
                TokenState::Unknown => Err(Refused::iam("decrypt token fail")),
                TokenState::Expired => {
                    count(&self.counts.refused_expired_tokens);
                    Err(Refused::old_token())
                }
            },
            Authentication::AppCode(code) if self.known.is_app_code(code) => {
                Ok(unsigned(Mode::AppCode))
            }
            Authentication::AppCode(_) => Err(Refused::app("app not found with specified appCode")),
            Authentication::ApiKey(key) if self.known.is_api_key(key) => Ok(unsigned(Mode::ApiKey)),
            Authentication::ApiKey(_) => Err(Refused::api_key()),
            Authentication::Several => Err(Refused::iam("more than one authentication")),
        }
    }

    fn verify(
        &self,
        request: &ReceivedRequest<'_>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Proof, Refused> {
        let seconds = now.as_second();
        let date =
            SigningDate::from_unix_seconds(seconds).map_err(|_| Refused::iam("Unauthorized"))?;
        let access_key = headers
            .get("authorization")
            .and_then(|value| Presented::parse(value.to_str().ok()?).ok())
            .map_or("", |presented| presented.access_key);
        self.check_key(access_key, now)?;
        let owner = self.known.owner(access_key);
        let token = headers.get("x-security-token").map(HeaderValue::as_bytes);
        let signer = |access_key: &str| self.known.signer(access_key, token);
        let verified = verify(request, signer, &date, WINDOW);
        match (&verified, owner) {
            (Ok(_), _) => self.lockout.succeeded(access_key),
            // Apps are not said to be locked.
            (Err(Refusal::Mismatch { .. }), Owner::Iam) => {
                self.lockout.failed(access_key, seconds);
            }
            _ => {}
        }
        let verified = verified.map_err(|refusal| Refused::signature(&refusal, owner))?;
        Ok(Proof {
            mode: match owner {
                Owner::Iam => Mode::Aksk,
                Owner::App => Mode::App,
            },
            verified: Some(verified),
        })
    }

    /// Refuses a key that is locked or has expired, whatever it signs.
    fn check_key(&self, access_key: &str, now: Timestamp) -> Result<(), Refused> {
        if self.lockout.is_locked(access_key, now.as_second()) {
            let message = "AK access failed to reach the limit,forbidden.";
            return Err(Refused::iam(message));
        }
        if self.known.is_expired(access_key, now) {
            count(&self.counts.refused_expired);
            return Err(Refused::expired_key());
        }
        Ok(())
    }
}

/// Whether what proves the request covers its body, so that the body has to be read first.
fn covers_body(authentication: Authentication<'_>, headers: &HeaderMap) -> bool {
    let is_unsigned = headers
        .get(CONTENT_HASH_HEADER)
        .is_some_and(|value| value == UNSIGNED_PAYLOAD);
    authentication == Authentication::Signature && !is_unsigned
}

fn target(parts: &request::Parts) -> &str {
    parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A header value as an answer shows it.
fn shown(name: &str, value: &[u8]) -> String {
    let is_secret = match name {
        "x-security-token" | "x-auth-token" | "x-apig-appcode" => true,
        "authorization" => !value.starts_with(ALGORITHM.as_bytes()),
        _ => false,
    };
    if is_secret {
        return "[redacted]".to_owned();
    }
    // One character for each byte, so that nothing is lost.
    value.iter().map(|byte| char::from(*byte)).collect()
}
