//! What the gateway says in a refusal: read before it is relayed, so that the proxy can act on it.
//!
//! The refusal gets a hint for the caller and a line in the log; the clock is learned from it, and the key
//! is kept from being locked. Its body is relayed as it is, unless it repeats a secret in a
//! `Content-Encoding` or cannot be read ([`Body`]).

mod content_coding;
mod read;

use bytes::Bytes;

use super::lockout::Verdict;
use super::payload::Prepared;
use super::proof::Proof;
use super::sign::Signable;
use crate::clock::GatewayClock;
use crate::config::Route;
use crate::gateway_error::{Context, GatewayError, Meaning};
use crate::signature::SigningDate;
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

/// An answer whose body was read ahead, as far as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    pub(super) body: Body,
    pub(super) error: Option<GatewayError>,
    origin: Origin,
    /// What the caller is told if `error` does not say it.
    note: Option<&'static str>,
}

/// What is relayed as the body of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
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

impl Refusal {
    /// An answer of which nothing is known but its status.
    pub(super) fn unread(status: u16) -> Self {
        Self {
            status,
            body: Body::Unchanged(Bytes::new()),
            error: None,
            origin: Origin::Unknown,
            note: None,
        }
    }

    /// What it says of the signature.
    pub(super) fn verdict(&self) -> Verdict {
        match &self.error {
            Some(error) if self.status == 401 && error.meaning == Meaning::KeyLocked => {
                Verdict::Locked
            }
            Some(error) if self.status == 401 && error.meaning.is_signature_failure() => {
                Verdict::Wrong
            }
            Some(error) if AFTER_SIGNATURE.contains(&error.code.as_str()) => Verdict::Right,
            // Checked before the signature, or at a place that is not known.
            Some(_) => Verdict::Unknown,
            None => match self.origin {
                Origin::Unreadable => Verdict::Wrong,
                Origin::Backend if !matches!(self.status, 401 | 403 | 502..=504) => Verdict::Right,
                Origin::Backend | Origin::Unknown => Verdict::Unknown,
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
        let error = self.error.as_ref().filter(|_| self.status == 401);
        error.map(|error| &error.meaning)
    }

    /// One line for the caller, which is also written to the log.
    pub(super) fn hint(
        &self,
        prepared: &Prepared,
        route: &Route,
        proof: &Proof,
        (clock, date): (&GatewayClock, SigningDate),
    ) -> Option<String> {
        let Some(error) = &self.error else {
            return self.note();
        };
        let canonical = proof.key().and_then(|key| {
            let signable = Signable::new(prepared, route, key, date).ok()?;
            Some(signable.canonical().ok()?.to_string())
        });
        let ahead = clock.ahead();
        let hint = error.hint(&Context {
            canonical_request: canonical.as_deref(),
            shows: proof.shows(),
            has_security_token: proof
                .key()
                .is_some_and(|key| key.security_token().is_some()),
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
        tracing::warn!(status = self.status, "{note}");
        Some(note.to_owned())
    }
}
