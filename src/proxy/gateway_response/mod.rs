//! The gateway's response. An error response is read ahead before it is passed on, so that the
//! proxy can act on it.
//!
//! A refusal gets a hint for the caller and a line in the log; the clock is learned from it, and
//! the key is kept from being locked. Its body is relayed unchanged, unless it repeats a secret in
//! a `Content-Encoding` or cannot be read.

mod content_coding;
mod read;

use std::collections::VecDeque;
use std::fmt;

use http::{Response, StatusCode, response};

use super::body::{ReplyBody, RequestBody};
use super::context::RequestContext;
use super::key_breaker::SignatureOutcome;
use super::redact::Redactor;
use crate::gateway::{self, GatewayError, Meaning};
use crate::signature::SigningDate;
use crate::upstream::{Connection, GatewayBody};

/// How far a date may be off for the gateway to accept it (API Request Signing Guide), in seconds.
const WINDOW: u64 = 15 * 60;

/// The gateway's responses to requests that it let through, when the service behind the API fails.
const AFTER_SIGNATURE: [&str; 2] = ["APIG.0202", "APIG.0203"];

/// The gateway's response to a request.
#[derive(Debug)]
pub(super) struct GatewayResponse {
    pub(super) head: response::Parts,
    pub(super) body: ReplyBody,
    /// Set if the body is no longer encoded as the head says.
    pub(super) is_decoded: bool,
    refusal: Refusal,
    /// Redacts the secret of the request from an error response.
    pub(super) redactor: Option<Redactor>,
    /// The hint for the caller about a refusal.
    pub(super) hint: Option<String>,
}

/// The origin of an error response, as far as its content tells.
#[derive(Debug)]
enum Refusal {
    /// It is not known.
    Unknown,
    /// It has no error code of the gateway's, so the gateway let the request through.
    Backend,
    /// It cannot be read, and its status is that of a refused signature.
    Unreadable,
    /// The gateway's.
    Gateway(GatewayError),
}

impl GatewayResponse {
    /// Takes a response, and reads an error response ahead as far as that is needed to act on it.
    pub(super) async fn read(
        response: Response<GatewayBody>,
        connection: Connection<RequestBody>,
        context: &RequestContext,
        redactor: Option<Redactor>,
    ) -> Self {
        let (head, body) = response.into_parts();
        let is_error = head.status.as_u16() >= 400;
        let mut response = Self {
            head,
            body: ReplyBody {
                ahead: VecDeque::new(),
                rest: Some(body),
                connection: Some(connection),
            },
            is_decoded: false,
            refusal: Refusal::Unknown,
            redactor,
            hint: None,
        };
        if is_error {
            read::read(&mut response, context.is_head).await;
        }
        if let Some(error) = response.error() {
            context.metrics.gateway_error(&error.code);
        }
        response
    }

    /// The gateway's error, if the response is one.
    pub(super) fn error(&self) -> Option<&GatewayError> {
        match &self.refusal {
            Refusal::Gateway(error) => Some(error),
            _ => None,
        }
    }

    /// Returns `true` if the gateway refuses the request in its own name.
    pub(super) fn is_of_gateway(&self) -> bool {
        matches!(self.refusal, Refusal::Gateway(_) | Refusal::Unreadable)
    }

    /// What the response says of the signature.
    pub(super) fn signature_outcome(&self) -> SignatureOutcome {
        let status = self.head.status.as_u16();
        match &self.refusal {
            _ if status < 400 => SignatureOutcome::Accepted,
            Refusal::Unreadable => SignatureOutcome::Rejected,
            Refusal::Backend if !matches!(status, 401 | 403 | 502..=504) => {
                SignatureOutcome::Accepted
            }
            Refusal::Gateway(error) => match &error.meaning {
                Meaning::KeyLocked if status == 401 => SignatureOutcome::Locked,
                meaning if status == 401 && meaning.is_signature_failure() => {
                    SignatureOutcome::Rejected
                }
                _ if AFTER_SIGNATURE.contains(&error.code.as_str()) => SignatureOutcome::Accepted,
                // Checked before the signature, or at a place that is not known.
                _ => SignatureOutcome::Unknown,
            },
            Refusal::Backend | Refusal::Unknown => SignatureOutcome::Unknown,
        }
    }

    /// `Some` if the date of the signature was refused, with the gateway's time if it tells it. A
    /// refusal of another date than the one that was sent, or at a time at which it was good, is
    /// not believed: a service behind the gateway could say anything.
    pub(super) fn expired(&self, date: SigningDate) -> Option<Option<i64>> {
        let Some(Meaning::Expired { signed, server }) = self.meaning() else {
            return None;
        };
        let is_other = signed.is_some_and(|signed| signed != date);
        let server = server.map(|server| server.unix_seconds());
        let is_good = |server: i64| server.abs_diff(date.unix_seconds()) <= WINDOW;
        (!is_other && !server.is_some_and(is_good)).then_some(server)
    }

    /// What a refusal of the credential means.
    pub(super) fn meaning(&self) -> Option<&Meaning> {
        let error = self.error();
        let error = error.filter(|_| self.head.status == StatusCode::UNAUTHORIZED);
        error.map(|error| &error.meaning)
    }

    /// Sets the hint for the caller, and logs it.
    pub(super) fn explain(
        &mut self,
        context: &gateway::Context<'_>,
        request_id: &impl fmt::Display,
    ) {
        if let Some(error) = self.error() {
            let (code, hint) = (error.code.as_str(), error.hint(context));
            match &hint {
                Some(hint) => {
                    tracing::warn!(%request_id, code, "the gateway refused a request: {hint}");
                }
                None => tracing::info!(%request_id, code, "the gateway refused a request"),
            }
            self.hint = hint;
        } else if let Some(hint) = &self.hint {
            tracing::warn!(%request_id, status = self.head.status.as_u16(), "{hint}");
        }
    }
}
