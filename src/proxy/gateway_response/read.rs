//! Reads error responses ahead, decodes them, and decides whose they are.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::content_coding::Codings;
use super::{GatewayResponse, Refusal};
use crate::error::Cause;
use crate::gateway::GatewayError;
use crate::proxy::headers;
use crate::upstream::GatewayBody;

/// How much of a body is read ahead, in bytes. The gateway's own refusals are a few hundred, and
/// repeat at most what was sent.
const AHEAD: usize = 64 * 1024;

/// How long a body is read ahead. What comes more slowly is relayed as it comes.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// The hint of a refusal whose body cannot be read.
const UNREADABLE: &str = "the gateway refused the request, and the proxy cannot decode the reason, so it left \
     the body out: send the request without Accept-Encoding to see it, and check that the secret key \
     belongs to the access key";

/// The hint of a refusal without a body, in response to HEAD.
const NO_BODY: &str = "the gateway refused the request, and a response to HEAD has no body that says why: send it \
     as GET to see the reason, and check that the secret key belongs to the access key";

/// The hint of an error whose body was left out for what it repeats.
const NOT_REDACTED: &str = "the response repeats the token of the request and is too long to be decoded and redacted, \
     so the proxy left its body out: send the request without Accept-Encoding to see it";

/// Reads the beginning of an error response, and puts what it is and what is relayed of it into
/// `response`.
pub(super) async fn read(response: &mut GatewayResponse, is_head: bool) {
    if is_head {
        return read_bodiless(response);
    }
    let codings = Codings::parse(headers::elements(&response.head.headers, &CONTENT_ENCODING));
    let is_encoded = codings
        .as_ref()
        .is_none_or(|codings| !codings.is_identity());
    let mut ahead = Ahead::default();
    // Nothing is learned from bytes that cannot be decoded.
    if let (Some(codings), Some(body)) = (&codings, &mut response.body.rest) {
        // What is encoded cannot be redacted while it passes.
        let is_needed = is_encoded && response.redactor.is_some();
        let is_enough = |body: &[u8]| !is_needed && is_of_backend(&codings.decode(body).text);
        let _ = timeout(AHEAD_TIMEOUT, ahead.read(body, is_enough)).await;
    }
    let decoded = codings
        .map(|codings| codings.decode(&ahead.body))
        .unwrap_or_default();
    let is_complete = ahead.is_complete && decoded.is_complete;
    let is_too_long = !is_encoded && ahead.body.len() > AHEAD;
    let status = response.head.status.as_u16();
    response.refusal = match GatewayError::read(status, &decoded.text) {
        Some(error) => Refusal::Gateway(error),
        None if is_complete || is_of_backend(&decoded.text) => Refusal::Backend,
        None if status == 401 && !is_too_long => Refusal::Unreadable,
        None => Refusal::Unknown,
    };
    let redactor = response.redactor.as_ref().filter(|_| is_encoded);
    let redacted = redactor.map(|redactor| redactor.redact(&decoded.text));
    match redacted.filter(|redacted| *redacted != decoded.text) {
        _ if is_encoded && matches!(response.refusal, Refusal::Unreadable) => {
            replace_body(response, Bytes::new(), Some(UNREADABLE));
        }
        Some(redacted) if is_complete => replace_body(response, redacted.into(), None),
        Some(_) => replace_body(response, Bytes::new(), Some(NOT_REDACTED)),
        None => {
            relay_ahead(response, ahead.body.freeze());
            response.body.ahead.extend(ahead.end);
        }
    }
}

/// A response to HEAD. The gateway counts the signature of such a request too, so a 401 counts as a
/// refusal unless its head shows that it is not the gateway's, whose refusals have a body and name
/// no scheme.
fn read_bodiless(response: &mut GatewayResponse) {
    let headers = &response.head.headers;
    let is_empty = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0");
    if response.head.status == 401 && !is_empty && !headers.contains_key(WWW_AUTHENTICATE) {
        response.refusal = Refusal::Unreadable;
        response.hint = Some(NO_BODY.to_owned());
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

/// Relays these bytes first.
fn relay_ahead(response: &mut GatewayResponse, data: Bytes) {
    if !data.is_empty() {
        response.body.ahead.push_back(Ok(Frame::data(data)));
    }
}

/// Relays this body, without `Content-Encoding`, instead of the gateway's.
fn replace_body(response: &mut GatewayResponse, body: Bytes, hint: Option<&str>) {
    response.is_decoded = true;
    response.hint = hint.map(str::to_owned);
    relay_ahead(response, body);
    // hyper has read a short body to its end; over a connection that it has not, no other request
    // follows.
    let connection = response.body.connection.take();
    if let Some(rest) = response.body.rest.take()
        && let Some(connection) = connection.filter(|_| rest.is_end_stream())
    {
        connection.release();
    }
}

/// True if a body, or the beginning of one, is no error of the gateway's, which is a JSON object.
fn is_of_backend(text: &[u8]) -> bool {
    let first = text.trim_ascii_start().first();
    first.is_some_and(|first| *first != b'{')
}
