//! The gateway's answer. What it says in a refusal is read before it is passed on, so that the proxy can act
//! on it.
//!
//! The refusal gets a hint for the caller and a line in the log; the clock is learned from it, and the key
//! is kept from being locked. Its body is relayed as it is, unless it repeats a secret in a
//! `Content-Encoding` or cannot be read ([`Body`]).

mod content_coding;
mod read;

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use http_body::Body as _;
use hyper::body::Incoming;

use super::auth::RequestAuth;
use super::body::RequestBody;
use super::context::RequestContext;
use super::key_breaker::SignatureOutcome;
use super::prepare::Prepared;
use super::redact::Redactor;
use super::sign::Signable;
use crate::config::Route;
use crate::gateway::{Context, GatewayClock, GatewayError, Meaning};
use crate::signature::SigningDate;
use crate::upstream::Connection;
pub(super) use read::read;

/// How far a date may be off for the gateway to accept it (API Request Signing Guide), in seconds.
const WINDOW: u64 = 15 * 60;

/// The gateway's answers to requests that it let through, when the service behind the API fails.
const AFTER_SIGNATURE: [&str; 2] = ["APIG.0202", "APIG.0203"];

/// The hint of a refusal whose body cannot be read.
const UNREADABLE: &str = "the gateway refused the request, and the proxy cannot decode the reason, so it left \
     the body out: send the request without Accept-Encoding to see it, and check that the secret key \
     belongs to the access key";

/// The hint of a refusal without a body, in answer to HEAD.
const NO_BODY: &str = "the gateway refused the request, and an answer to HEAD has no body that says why: send it \
     as GET to see the reason, and check that the secret key belongs to the access key";

/// The hint of an error whose body was left out for what it repeats.
const NOT_REDACTED: &str = "the answer repeats the token of the request and is too long to be decoded and redacted, \
     so the proxy left its body out: send the request without Accept-Encoding to see it";

/// The gateway's answer to a request.
#[derive(Debug)]
pub(super) struct GatewayReply {
    pub(super) head: response::Parts,
    pub(super) body: ReplyBody,
    /// Whether the body is no longer encoded as the head says.
    pub(super) is_decoded: bool,
    /// Whether the gateway refuses the request in its own name.
    pub(super) is_refusal: bool,
    /// Redacts the secret of the request.
    pub(super) redactor: Option<Redactor>,
    /// What the caller is told of a refusal.
    pub(super) hint: Option<String>,
    /// Index of the route.
    pub(super) route: usize,
    pub(super) context: Rc<RequestContext>,
}

/// What is passed on as the body of an answer.
#[derive(Debug)]
pub(super) struct ReplyBody {
    /// What was read of it already, or all of it.
    pub(super) ahead: Bytes,
    /// How reading ahead ended.
    pub(super) ended: Rest,
    /// What is still to be read; absent if that is not passed on.
    pub(super) rest: Option<Incoming>,
    /// What it comes over; absent if the answer is complete without it.
    pub(super) connection: Option<Connection<RequestBody>>,
}

/// What followed the data that was read ahead.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) trailers: Option<HeaderMap>,
    pub(super) failure: Option<hyper::Error>,
}

/// An error response whose body was read ahead, as far as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Body,
    rest: Rest,
    pub(super) error: Option<GatewayError>,
    origin: Origin,
    /// What the caller is told if `error` does not say it.
    note: Option<&'static str>,
}

/// What is relayed as the body of a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// The body of the answer; this is what was read of it.
    Unchanged(Bytes),
    /// This one, without `Content-Encoding`: the body had to be decoded to be redacted.
    Decoded(Bytes),
    /// None: it cannot be read, or not redacted.
    Dropped,
}

/// Whose answer it is, as far as that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It has no error code of the gateway's, so the gateway let the request through.
    Backend,
    /// It has an error code of the gateway's, or it is not known.
    Unknown,
    /// It cannot be read, and its status is that of a refused signature.
    Unreadable,
}

impl GatewayReply {
    /// A reply to a request, as the caller gets it.
    pub(super) fn new(
        head: response::Parts,
        body: Incoming,
        connection: Connection<RequestBody>,
        refusal: Refusal,
        prepared: &Prepared,
    ) -> Self {
        let is_refusal = refusal.is_of_gateway();
        let (ahead, is_decoded) = match refusal.body {
            Body::Unchanged(ahead) => (ahead, false),
            Body::Decoded(body) => (body, true),
            Body::Dropped => (Bytes::new(), true),
        };
        let body = if is_decoded {
            // hyper has read a short body to its end; over a connection that it has not, no other request follows.
            if body.is_end_stream() {
                connection.release();
            }
            ReplyBody {
                ahead,
                ended: Rest::default(),
                rest: None,
                connection: None,
            }
        } else {
            ReplyBody {
                ahead,
                ended: refusal.rest,
                rest: Some(body),
                connection: Some(connection),
            }
        };
        Self {
            head,
            body,
            is_decoded,
            is_refusal,
            redactor: None,
            hint: None,
            route: prepared.route,
            context: Rc::clone(&prepared.context),
        }
    }
}

impl Refusal {
    /// An answer of which nothing is known but its status.
    pub(super) fn unread(status: StatusCode) -> Self {
        Self {
            status,
            body: Body::Unchanged(Bytes::new()),
            rest: Rest::default(),
            error: None,
            origin: Origin::Unknown,
            note: None,
        }
    }

    /// What it says of the signature.
    pub(super) fn outcome(&self) -> SignatureOutcome {
        match &self.error {
            Some(error)
                if self.status == StatusCode::UNAUTHORIZED
                    && error.meaning == Meaning::KeyLocked =>
            {
                SignatureOutcome::Locked
            }
            Some(error)
                if self.status == StatusCode::UNAUTHORIZED
                    && error.meaning.is_signature_failure() =>
            {
                SignatureOutcome::Rejected
            }
            Some(error) if AFTER_SIGNATURE.contains(&error.code.as_str()) => {
                SignatureOutcome::Accepted
            }
            // Checked before the signature, or at a place that is not known.
            Some(_) => SignatureOutcome::Unknown,
            None => match self.origin {
                Origin::Unreadable => SignatureOutcome::Rejected,
                Origin::Backend if !matches!(self.status.as_u16(), 401 | 403 | 502..=504) => {
                    SignatureOutcome::Accepted
                }
                Origin::Backend | Origin::Unknown => SignatureOutcome::Unknown,
            },
        }
    }

    /// Whether the gateway refuses the request in its own name.
    pub(super) fn is_of_gateway(&self) -> bool {
        self.error.is_some() || self.origin == Origin::Unreadable
    }

    /// Whether the date of the signature was refused, and the gateway's time if it tells it. A refusal of
    /// another date than the one that was sent, or at a time at which it was good, is not believed: a
    /// service behind the gateway could say anything.
    pub(super) fn expired(&self, date: SigningDate) -> Option<Option<i64>> {
        let Some(Meaning::Expired { signed, server }) = self.meaning() else {
            return None;
        };
        let is_other = signed.is_some_and(|signed| signed != date);
        let server = server.map(|server| server.unix_seconds());
        let is_good = |server: i64| server.abs_diff(date.unix_seconds()) <= WINDOW;
        (!is_other && !server.is_some_and(is_good)).then_some(server)
    }

    /// Whether the token, app code or API key was refused.
    pub(super) fn is_of_secret(&self) -> bool {
        matches!(
            self.meaning(),
            Some(Meaning::InvalidToken | Meaning::UnknownApp | Meaning::Unauthorized)
        )
    }

    /// Whether a key that ends may have been withdrawn, or have ended before its time.
    pub(super) fn is_of_key(&self) -> bool {
        matches!(
            self.meaning(),
            Some(Meaning::UnknownKey | Meaning::InvalidToken | Meaning::Expired { .. })
        )
    }

    /// What the refusal means, if it is one of those that the gateway makes before anybody is asked.
    fn meaning(&self) -> Option<&Meaning> {
        let error = self
            .error
            .as_ref()
            .filter(|_| self.status == StatusCode::UNAUTHORIZED);
        error.map(|error| &error.meaning)
    }

    /// One line for the caller, which is also written to the log.
    pub(super) fn hint(
        &self,
        prepared: &Prepared,
        route: &Route,
        auth: &RequestAuth,
        (clock, date): (&GatewayClock, SigningDate),
    ) -> Option<String> {
        let Some(error) = &self.error else {
            return self.note();
        };
        let canonical = auth.key().and_then(|key| {
            let signable = Signable::new(prepared, route, key, date).ok()?;
            Some(signable.canonical().ok()?.to_string())
        });
        let ahead = clock.ahead();
        let hint = error.hint(&Context {
            canonical_request: canonical.as_deref(),
            shows: auth.shows(),
            has_security_token: auth.key().is_some_and(|key| key.security_token().is_some()),
            clock_offset: (ahead != 0).then_some(ahead),
            corrects_clock: clock.corrects(),
            stage: route.stage.to_str().unwrap_or_default(),
            host: &route.upstream.host,
        });
        let code = error.code.as_str();
        match &hint {
            Some(hint) => tracing::warn!(code, "the gateway refused a request: {hint}"),
            None => tracing::info!(code, "the gateway refused a request"),
        }
        hint
    }

    /// The hint of an answer without an error of the gateway's.
    fn note(&self) -> Option<String> {
        let note = self.note?;
        tracing::warn!(status = self.status.as_u16(), "{note}");
        Some(note.to_owned())
    }
}
