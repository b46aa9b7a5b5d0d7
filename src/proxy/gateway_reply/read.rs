//! Reads error responses ahead, decodes them, and decides what they are.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::{StatusCode, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::content_coding::{Codings, Decoded, End};
use super::{Body, NO_BODY, NOT_REDACTED, Origin, Refusal, Rest, UNREADABLE};
use crate::gateway::GatewayError;
use crate::proxy::headers;
use crate::proxy::redact::Redactor;

/// How much of a body is read ahead, in bytes. The gateway's own refusals are a few hundred, and repeat at
/// most what was sent.
const AHEAD: usize = 64 * 1024;

/// How long a body is read ahead. What comes more slowly is relayed as it comes.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a body is looked at before it is complete. Each time it is decoded and parsed from its
/// beginning, so this bounds the work for one that comes byte by byte.
const LOOKS: usize = 16;

/// Reads the beginning of an error response.
pub(in crate::proxy) async fn read(
    body: &mut Incoming,
    head: &response::Parts,
    is_head: bool,
    redactor: Option<&Redactor>,
) -> Refusal {
    if is_head {
        return bodiless(head);
    }
    let mut ahead = Ahead {
        status: head.status,
        codings: Codings::parse(headers::elements(&head.headers, &CONTENT_ENCODING)),
        body: BytesMut::new(),
        rest: Rest::default(),
        is_complete: false,
        looks: 0,
    };
    // Nothing is learned from bytes that cannot be decoded.
    if ahead.codings.is_some() {
        let _ = timeout(AHEAD_TIMEOUT, ahead.read(body, redactor)).await;
    }
    ahead.into_refusal(redactor)
}

/// An answer to HEAD. The gateway counts the signature of such a request too, so a 401 counts as a refusal
/// unless its head shows that it is not the gateway's, whose refusals have a body and name no scheme.
fn bodiless(head: &response::Parts) -> Refusal {
    let is_empty = head
        .headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0");
    let is_of_backend = is_empty || head.headers.contains_key(WWW_AUTHENTICATE);
    if head.status != StatusCode::UNAUTHORIZED || is_of_backend {
        return Refusal::unread(head.status);
    }
    Refusal {
        origin: Origin::Unreadable,
        note: Some(NO_BODY),
        ..Refusal::unread(head.status)
    }
}

/// What was read ahead of a body.
struct Ahead {
    status: StatusCode,
    /// None if one of them is not known.
    codings: Option<Codings>,
    body: BytesMut,
    rest: Rest,
    /// Whether the end was read.
    is_complete: bool,
    looks: usize,
}

impl Ahead {
    async fn read(&mut self, body: &mut Incoming, redactor: Option<&Redactor>) {
        while self.body.len() <= AHEAD {
            match body.frame().await {
                None => return self.is_complete = true,
                // What is wrong with a body shows when it is relayed.
                Some(Err(error)) => return self.rest.failure = Some(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.body.extend_from_slice(&data),
                    Err(frame) => self.rest.trailers = frame.into_trailers().ok(),
                },
            }
            if !self.wants_more(redactor) {
                return;
            }
        }
    }

    /// Whether more has to be read to tell what the answer is.
    fn wants_more(&mut self, redactor: Option<&Redactor>) -> bool {
        self.looks += 1;
        let is_encoded = self
            .codings
            .as_ref()
            .is_some_and(|codings| !codings.is_identity());
        // What is encoded cannot be redacted while it passes.
        if self.looks > LOOKS || (is_encoded && redactor.is_some()) {
            return true;
        }
        !is_of_backend(self.status.as_u16(), &self.decoded().text)
    }

    fn decoded(&self) -> Decoded {
        match &self.codings {
            Some(codings) => codings.decode(&self.body),
            None => Decoded {
                text: Vec::new(),
                end: End::Broken,
            },
        }
    }

    fn into_refusal(self, redactor: Option<&Redactor>) -> Refusal {
        let decoded = self.decoded();
        let is_encoded = self
            .codings
            .as_ref()
            .is_none_or(|codings| !codings.is_identity());
        let is_complete = self.is_complete && decoded.end == End::Complete;
        let error = GatewayError::read(self.status.as_u16(), &decoded.text);
        let is_too_long = !is_encoded && self.body.len() > AHEAD;
        let origin = if error.is_some() {
            Origin::Unknown
        } else if is_complete || is_of_backend(self.status.as_u16(), &decoded.text) {
            Origin::Backend
        } else if self.status == StatusCode::UNAUTHORIZED && !is_too_long {
            Origin::Unreadable
        } else {
            Origin::Unknown
        };
        let mut refusal = Refusal {
            error,
            origin,
            body: Body::Unchanged(Bytes::new()),
            rest: self.rest,
            ..Refusal::unread(self.status)
        };
        if !is_encoded {
            refusal.body = Body::Unchanged(self.body.freeze());
            return refusal;
        }
        let redacted = redactor
            .map(|redactor| redactor.redact(&decoded.text))
            .filter(|redacted| *redacted != decoded.text);
        (refusal.body, refusal.note) = match redacted {
            _ if origin == Origin::Unreadable => (Body::Dropped, Some(UNREADABLE)),
            Some(redacted) if is_complete => (Body::Decoded(redacted.into()), None),
            Some(_) => (Body::Dropped, Some(NOT_REDACTED)),
            None => (Body::Unchanged(self.body.freeze()), None),
        };
        refusal
    }
}

/// Whether a body, or the beginning of one, shows that it is no error of the gateway's: it is not the
/// beginning of a JSON object, or a complete one without an error code.
fn is_of_backend(status: u16, text: &[u8]) -> bool {
    match text.trim_ascii_start().first() {
        None => false,
        Some(b'{') => match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(_) => GatewayError::read(status, text).is_none(),
            Err(error) => !error.is_eof(),
        },
        Some(_) => true,
    }
}
