//! Judges a request as API Gateway does: limits, stage, and one proof of who sends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::Counts;
use super::accounts::Limits;
use super::authentication::{Authentication, Mode};
use super::known::{Known, Owner, TokenState};
use super::lockout::Lockout;
use super::reading::{ReadBody, check_head, check_stage, read};
use super::refusal::Refused;
use super::time::Clock;
use crate::signature::{
    ALGORITHM, Presented, ReceivedRequest, Refusal, SigningDate, Verified, verify,
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
        count(&self.counts.requests);
        let (parts, body) = request.into_parts();
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        check_head(target, &parts.headers)?;
        let authentication = Authentication::of(&parts.headers);
        let body = read(body, self.longest(authentication)).await?;
        check_stage(&parts.headers)?;
        let headers: Vec<(&str, &[u8])> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let method = parts.method.as_str();
        let received = ReceivedRequest {
            method,
            target,
            headers: &headers,
            body: &body.hash,
        };
        let proof = self.prove(authentication, &received, &parts.headers)?;
        count(&self.counts.verified);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let shown = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), shown(name, value)));
        Ok(Accepted {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: shown.collect(),
            body,
            proof,
        })
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
