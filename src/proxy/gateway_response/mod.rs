//! The gateway's response. An error response is read ahead before it is passed on, so that the
//! proxy can act on it.
//!
//! A refusal gets a hint for the caller and a line in the log; the clock is learned from it, and
//! the key is kept from being locked. Its body is relayed unchanged, unless it has a
//! `Content-Encoding` and repeats a secret, or cannot be decoded.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::{Response, StatusCode, response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::body::{ReplyBody, RequestBody};
use super::context::RequestContext;
use super::key_breaker::SignatureOutcome;
use super::redact::{Redactor, stars};
use super::{content_coding, headers};
use crate::error::Cause;
use crate::gateway::{DATE_WINDOW, GatewayError, Meaning};
use crate::signature::SigningDate;
use crate::upstream::{Connection, GatewayBody};

/// How much of a body is read ahead, in bytes. The gateway's own refusals are a few hundred, and
/// repeat at most what was sent.
const AHEAD: usize = 64 * 1024;

/// How long a body is read ahead. What comes more slowly is relayed as it comes.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// The hint of a refusal whose body cannot be decoded, or that has none in response to HEAD.
const UNREADABLE: &str = "the gateway refused the request, and the proxy cannot read the reason: send it as GET and \
     without Accept-Encoding to see it, and check that the secret key belongs to the access key";

/// The hint of an error whose body was left out for what it repeats, or may repeat.
const NOT_REDACTED: &str = "the response may repeat the token of the request and cannot be decoded and redacted, so the \
     proxy left its body out: send the request without Accept-Encoding to see it";

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
            response.read_ahead(context.is_head).await;
        }
        if let Some(error) = response.error() {
            context.metrics.gateway_error(&error.code);
        }
        response
    }

    /// Reads the beginning of an error response, and finds out whose it is and what of it is
    /// relayed.
    async fn read_ahead(&mut self, is_head: bool) {
        if is_head {
            return self.read_bodiless();
        }
        let headers = &self.head.headers;
        let is_coding = |name: &[u8]| !name.eq_ignore_ascii_case(b"identity");
        let is_encoded = headers::elements(headers, &CONTENT_ENCODING).any(is_coding);
        let decoder = content_coding::decoder(headers);
        let has_body = |body: &GatewayBody| !body.is_end_stream();
        let has_body = self.body.rest.as_ref().is_some_and(has_body);
        let mut ahead = Ahead::default();
        // Nothing is learned from bytes that cannot be decoded.
        if let (Some(decode), Some(body)) = (decoder, &mut self.body.rest) {
            // What is encoded cannot be redacted while it passes.
            let is_needed = is_encoded && self.redactor.is_some();
            let is_enough = |body: &[u8]| !is_needed && is_of_backend(&decode(body).0);
            let _ = timeout(AHEAD_TIMEOUT, ahead.read(body, is_enough)).await;
        }
        let decoded = decoder.map(|decode| decode(&ahead.body));
        let (text, is_whole) = decoded.unwrap_or_default();
        let is_complete = ahead.is_complete && is_whole;
        let status = self.head.status.as_u16();
        self.refusal = match GatewayError::read(status, &text) {
            Some(error) => Refusal::Gateway(error),
            None if is_complete || is_of_backend(&text) => Refusal::Backend,
            None if status == 401 && (is_encoded || ahead.body.len() <= AHEAD) => {
                Refusal::Unreadable
            }
            None => Refusal::Unknown,
        };
        // The beginning tells whether a long body repeats the secret.
        let is_short = ahead.is_complete && text.len() <= AHEAD;
        let is_unread = !is_complete && (is_short || text.is_empty());
        let redactor = self.redactor.as_ref().filter(|_| is_encoded && has_body);
        let redacted = redactor.map(|redactor| redactor.redact_with(&text, stars));
        match redacted.filter(|redacted| is_unread || *redacted != text) {
            _ if is_encoded && matches!(self.refusal, Refusal::Unreadable) => {
                self.replace_body(Bytes::new(), Some(UNREADABLE));
            }
            Some(redacted) if is_complete => self.replace_body(redacted.into(), None),
            Some(_) => {
                self.replace_body(Bytes::new(), Some(NOT_REDACTED));
                // What breaks off at the gateway breaks off at the caller too.
                self.body.ahead.extend(ahead.end.filter(Result::is_err));
            }
            None => {
                self.body.relay_first(ahead.body.freeze());
                self.body.ahead.extend(ahead.end);
            }
        }
    }

    /// A response to HEAD. The gateway counts the signature of such a request too, so a 401 counts
    /// as a refusal unless its head shows that it is not the gateway's, whose refusals have a body
    /// and name no scheme.
    fn read_bodiless(&mut self) {
        let headers = &self.head.headers;
        let length = headers.get(CONTENT_LENGTH);
        let is_empty = length.is_some_and(|length| length == "0");
        if self.head.status == 401 && !is_empty && !headers.contains_key(WWW_AUTHENTICATE) {
            self.refusal = Refusal::Unreadable;
            self.hint = Some(UNREADABLE.to_owned());
        }
    }

    /// Relays this body, without `Content-Encoding`, instead of the gateway's.
    fn replace_body(&mut self, body: Bytes, hint: Option<&str>) {
        self.is_decoded = true;
        self.hint = hint.map(str::to_owned);
        self.body.relay_first(body);
        // hyper has read a short body to its end; over a connection that it has not, no other
        // request follows.
        let connection = self.body.connection.take();
        if let Some(rest) = self.body.rest.take()
            && let Some(connection) = connection.filter(|_| rest.is_end_stream())
        {
            connection.release();
        }
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
        let is_good = |server: i64| (server - date.unix_seconds()).abs() <= DATE_WINDOW;
        (!is_other && !server.is_some_and(is_good)).then_some(server)
    }

    /// What a refusal of the credential means.
    pub(super) fn meaning(&self) -> Option<&Meaning> {
        let error = self.error();
        let error = error.filter(|_| self.head.status == StatusCode::UNAUTHORIZED);
        error.map(|error| &error.meaning)
    }
}

/// What was read ahead of a body.
#[derive(Default)]
struct Ahead {
    body: BytesMut,
    /// What followed the data: trailers, or what is wrong with the body, which shows when it is
    /// relayed.
    end: Option<Result<Frame<Bytes>, Cause>>,
    /// The end was read.
    is_complete: bool,
}

impl Ahead {
    async fn read(&mut self, body: &mut GatewayBody, is_enough: impl Fn(&[u8]) -> bool) {
        while self.body.len() <= AHEAD && !is_enough(&self.body) {
            match body.frame().await {
                None => return self.is_complete = true,
                Some(Err(error)) => return self.end = Some(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.body.extend_from_slice(&data),
                    Err(trailers) => self.end = Some(Ok(trailers)),
                },
            }
        }
    }
}

/// True if a body, or the beginning of one, is no error of the gateway's, which is a JSON object.
fn is_of_backend(text: &[u8]) -> bool {
    let first = text.trim_ascii_start().first();
    first.is_some_and(|first| *first != b'{')
}
