//! Reads error responses ahead, decodes them, and decides whose they are.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::content_coding::{Codings, Decoded};
use super::{GatewayResponse, Refusal};
use crate::gateway::GatewayError;
use crate::proxy::headers;

/// How much of a body is read ahead, in bytes. The gateway's own refusals are a few hundred, and
/// repeat at most what was sent.
const AHEAD: usize = 64 * 1024;

/// How long a body is read ahead. What comes more slowly is relayed as it comes.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a body is looked at before it is complete. Each time it is decoded and parsed from its
/// beginning, so this bounds the work for one that comes byte by byte.
const LOOKS: usize = 16;

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

/// Reads the beginning of an error response, and puts what it is and what is relayed of it into
/// `reply`.
pub(super) async fn read(reply: &mut GatewayResponse, is_head: bool) {
    if is_head {
        return read_bodiless(reply);
    }
    let encodings = headers::elements(&reply.head.headers, &CONTENT_ENCODING);
    let mut ahead = Ahead {
        status: reply.head.status.as_u16(),
        codings: Codings::parse(encodings),
        is_redacted: reply.redactor.is_some(),
        body: BytesMut::new(),
        end: None,
        is_complete: false,
    };
    // Nothing is learned from bytes that cannot be decoded.
    if ahead.codings.is_some()
        && let Some(body) = &mut reply.body.rest
    {
        let _ = timeout(AHEAD_TIMEOUT, ahead.read(body)).await;
    }
    ahead.apply(reply);
}

/// A response to HEAD. The gateway counts the signature of such a request too, so a 401 counts as a
/// refusal unless its head shows that it is not the gateway's, whose refusals have a body and name
/// no scheme.
fn read_bodiless(reply: &mut GatewayResponse) {
    let headers = &reply.head.headers;
    let is_empty = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0");
    if reply.head.status == 401 && !is_empty && !headers.contains_key(WWW_AUTHENTICATE) {
        reply.refusal = Refusal::Unreadable;
        reply.hint = Some(NO_BODY.to_owned());
    }
}

/// What was read ahead of a body.
struct Ahead {
    status: u16,
    /// `None` if one of them is not known.
    codings: Option<Codings>,
    /// The response has to be redacted.
    is_redacted: bool,
    body: BytesMut,
    /// What followed the data: trailers, or what is wrong with the body, which shows when it is
    /// relayed.
    end: Option<Result<Frame<Bytes>, hyper::Error>>,
    /// The end was read.
    is_complete: bool,
}

impl Ahead {
    async fn read(&mut self, body: &mut Incoming) {
        let mut looks = 0;
        while self.body.len() <= AHEAD {
            match body.frame().await {
                None => return self.is_complete = true,
                Some(Err(error)) => return self.end = Some(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.body.extend_from_slice(&data),
                    Err(trailers) => self.end = Some(Ok(trailers)),
                },
            }
            looks += 1;
            // What is encoded cannot be redacted while it passes.
            let is_needed = looks > LOOKS || (self.is_encoded() && self.is_redacted);
            if !is_needed && is_of_backend(self.status, &self.decoded().text) {
                return;
            }
        }
    }

    fn is_encoded(&self) -> bool {
        let codings = self.codings.as_ref();
        codings.is_none_or(|codings| !codings.is_identity())
    }

    fn decoded(&self) -> Decoded {
        match &self.codings {
            Some(codings) => codings.decode(&self.body),
            None => Decoded {
                text: Vec::new(),
                is_complete: false,
            },
        }
    }

    fn apply(self, reply: &mut GatewayResponse) {
        let (decoded, is_encoded) = (self.decoded(), self.is_encoded());
        let is_complete = self.is_complete && decoded.is_complete;
        let is_too_long = !is_encoded && self.body.len() > AHEAD;
        reply.refusal = match GatewayError::read(self.status, &decoded.text) {
            Some(error) => Refusal::Gateway(error),
            None if is_complete || is_of_backend(self.status, &decoded.text) => Refusal::Backend,
            None if self.status == 401 && !is_too_long => Refusal::Unreadable,
            None => Refusal::Unknown,
        };
        let redactor = reply.redactor.as_ref().filter(|_| is_encoded);
        let redacted = redactor.map(|redactor| redactor.redact(&decoded.text));
        match redacted.filter(|redacted| *redacted != decoded.text) {
            _ if is_encoded && matches!(reply.refusal, Refusal::Unreadable) => {
                replace_body(reply, Bytes::new(), Some(UNREADABLE));
            }
            Some(redacted) if is_complete => replace_body(reply, redacted.into(), None),
            Some(_) => replace_body(reply, Bytes::new(), Some(NOT_REDACTED)),
            None => {
                let data = Some(self.body.freeze()).filter(|data| !data.is_empty());
                reply
                    .body
                    .ahead
                    .extend(data.map(|data| Ok(Frame::data(data))));
                reply.body.ahead.extend(self.end);
            }
        }
    }
}

/// Relays this body, without `Content-Encoding`, instead of the gateway's.
fn replace_body(reply: &mut GatewayResponse, body: Bytes, hint: Option<&str>) {
    reply.is_decoded = true;
    reply.hint = hint.map(str::to_owned);
    let data = Some(body).filter(|data| !data.is_empty());
    reply
        .body
        .ahead
        .extend(data.map(|data| Ok(Frame::data(data))));
    // hyper has read a short body to its end; over a connection that it has not, no other request
    // follows.
    let connection = reply.body.connection.take();
    if let Some(rest) = reply.body.rest.take()
        && let Some(connection) = connection.filter(|_| rest.is_end_stream())
    {
        connection.release();
    }
}

/// Returns `true` if a body, or the beginning of one, is no error of the gateway's: it is not the
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
