//! Reads error responses ahead, decodes them, and decides what they are.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::content_coding::{Codings, Decoded, End};
use super::{Body, NO_BODY, NOT_REDACTED, Origin, Refusal, UNREADABLE};
use crate::gateway_error::GatewayError;
use crate::http1::ResponseHead;
use crate::proxy::redact::Redactor;
use crate::upstream::Connection;

/// How much of a body is read ahead, in bytes. The gateway's own refusals are a few hundred, and repeat at
/// most what was sent.
const AHEAD: usize = 64 * 1024;

/// How long a body is read ahead. What comes more slowly is relayed as it comes.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a body is looked at before it is complete. Each time it is decoded and parsed from its
/// beginning, so this bounds the work for one that comes byte by byte.
const LOOKS: usize = 16;

/// Reads ahead. `connection` must have been told of the head.
pub(in crate::proxy) async fn read(
    connection: &mut Connection,
    head: &ResponseHead,
    to_head: bool,
    redactor: Option<&Redactor>,
) -> Refusal {
    let codings = Codings::parse(head.fields.elements("content-encoding"));
    let mut ahead = Ahead {
        status: head.status,
        codings,
        body: BytesMut::new(),
        is_complete: false,
        looks: 0,
    };
    if to_head {
        return bodiless(head);
    }
    // Nothing is learned from bytes that cannot be decoded.
    if ahead.codings.is_some() {
        let reading = async {
            loop {
                match poll_fn(|cx| connection.poll_piece(cx)).await {
                    Some(Ok(piece)) => ahead.body.extend_from_slice(&piece),
                    // What is wrong with a body shows when it is relayed.
                    Some(Err(_)) => return,
                    None => return ahead.is_complete = true,
                }
                if ahead.body.len() > AHEAD || !ahead.wants_more(redactor) {
                    return;
                }
            }
        };
        let _ = timeout(AHEAD_TIMEOUT, reading).await;
    }
    ahead.into_refusal(redactor)
}

/// An answer to HEAD. The gateway counts the signature of such a request too, so a 401 counts as a refusal
/// unless its head shows that it is not the gateway's, whose refusals have a body and name no scheme.
fn bodiless(head: &ResponseHead) -> Refusal {
    let is_of_backend = head.fields.first("www-authenticate").is_some()
        || head.fields.first("content-length") == Some(b"0");
    if head.status != 401 || is_of_backend {
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
    status: u16,
    /// None if one of them is not known.
    codings: Option<Codings>,
    body: BytesMut,
    /// Whether the end was read.
    is_complete: bool,
    looks: usize,
}

impl Ahead {
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
        !is_of_backend(self.status, &self.decoded().text)
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
        let error = GatewayError::read(self.status, &decoded.text);
        let is_too_long = !is_encoded && self.body.len() > AHEAD;
        let origin = if error.is_some() {
            Origin::Unknown
        } else if is_complete || is_of_backend(self.status, &decoded.text) {
            Origin::Backend
        } else if self.status == 401 && !is_too_long {
            Origin::Unreadable
        } else {
            Origin::Unknown
        };
        let mut refusal = Refusal {
            error,
            origin,
            body: Body::Unchanged(Bytes::new()),
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
