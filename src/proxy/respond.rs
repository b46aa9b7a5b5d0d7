//! Last step: the gateway's answer is relayed, or an error becomes the proxy's own answer.
//!
//! Own answers have the gateway's shape, so that a caller's parser works, and codes with a prefix of
//! their own, so that nobody confuses the two. Their texts are fixed: never a caller's value, an address or a secret.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::body::{Relayed, ResponseBody};
use super::forward::Exchange;
use super::message::{Announced, Response};
use super::redact::redacted;
use super::reply::Reply;
use super::{Settings, cors, head, location};
use crate::clock;
use crate::error::{Error, Origin};
use crate::http1::{Framing, IdleTimer, ResponseHead, push_field};

/// Name of the header that says what is wrong with a refused request.
const HINT: &str = "x-apig-proxy-hint";

/// The answer of the gateway, as the caller gets it.
pub(super) fn relay(settings: &Settings, exchange: Exchange) -> Response {
    let Exchange {
        head,
        framing,
        connection,
        uploading,
        ahead,
        is_decoded,
        redactor,
        hint,
        reply,
        ..
    } = exchange;
    if head.status == 101 {
        return switch(&head, connection);
    }
    let mut answer = relayed_head(settings, &head, &reply, is_decoded);
    if let Some(hint) = hint {
        push_field(&mut answer, HINT, hint.as_bytes());
    }
    // The status line and every header may repeat a secret, as the body may.
    let answer = redacted(redactor.as_ref(), &answer).into_owned();
    let mut relayed = Relayed {
        ahead,
        redactor,
        connection: Some(connection),
        uploading,
        is_read: false,
        idle: IdleTimer::new(settings.timeouts.idle),
        takes_trailers: reply.takes_trailers,
        trailers: None,
    };
    if framing.is_empty() {
        relayed.finish();
    }
    Response {
        status: head.status,
        head: answer,
        length: announced(&head, framing, &reply),
        body: ResponseBody::Relayed(Box::new(relayed)),
        closes: false,
        flight: None,
    }
}

/// The answer to a handshake; the connection becomes a tunnel.
fn switch(head: &ResponseHead, connection: crate::upstream::Connection) -> Response {
    let mut answer = status_line(head);
    head::pass_through(&head.fields, &mut answer, head::is_for_caller);
    push_field(&mut answer, "connection", b"Upgrade");
    push_field(&mut answer, "upgrade", b"websocket");
    Response {
        status: head.status,
        head: answer,
        length: Announced::Nothing,
        body: ResponseBody::Tunnel(Box::new(connection)),
        closes: false,
        flight: None,
    }
}

/// The first line of an answer, as it came.
pub(super) fn status_line(head: &ResponseHead) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    line.extend_from_slice(format!("HTTP/1.1 {} ", head.status).as_bytes());
    line.extend_from_slice(head.reason());
    line.extend_from_slice(b"\r\n");
    line
}

fn relayed_head(
    settings: &Settings,
    head: &ResponseHead,
    reply: &Reply,
    is_decoded: bool,
) -> Vec<u8> {
    let mut answer = status_line(head);
    let route = &settings.routes[reply.route];
    let is_allowed = reply.origin.is_some();
    let location = head
        .fields
        .only("location")
        .and_then(|value| location::local(value, route, &reply.host, reply.is_secure));
    head::pass_through(&head.fields, &mut answer, |name| {
        let is_replaced = location.is_some() && name.eq_ignore_ascii_case(b"location");
        let is_answered_here = is_allowed && cors::is_answered_here(name);
        let is_undone = is_decoded && name.eq_ignore_ascii_case(b"content-encoding");
        head::is_for_caller(name) && !is_replaced && !is_answered_here && !is_undone
    });
    if let Some(location) = location {
        push_field(&mut answer, "location", location.as_bytes());
    }
    if let Some(origin) = &reply.origin {
        cors::allow(&mut answer, origin);
    }
    if head.fields.first("date").is_none() {
        push_field(&mut answer, "date", clock::http_date().as_bytes());
    }
    answer
}

/// What the caller is told of the length.
fn announced(head: &ResponseHead, framing: Framing, reply: &Reply) -> Announced {
    if head.status == 204 {
        return Announced::Nothing;
    }
    // There is no body to measure, but the gateway says how long it would be.
    if reply.to_head || head.status == 304 {
        let told = head.fields.first("content-length");
        let told = told.and_then(|length| str::from_utf8(length).ok()?.parse().ok());
        return told.map_or(Announced::Nothing, Announced::Length);
    }
    match framing {
        Framing::Length(length) => Announced::Length(length),
        Framing::Chunked | Framing::UntilClose => Announced::Unknown,
    }
}

/// The proxy's own answer to what went wrong.
pub(super) fn answer(error: &Error, request_id: &str) -> Response {
    let answer = error.answer();
    let body = json!({
        "error_code": format!("PROXY.{}", answer.code),
        "error_msg": error.to_string(),
        "request_id": request_id,
    });
    let body = Bytes::from(body.to_string());
    let reason = answer.status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status.as_u16()).into_bytes();
    let proxy_status = format!("apig-proxy; error={}", answer.proxy_status);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        // A browser that shows it must not load a favicon of the proxy's origin, which would be a signed request.
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("x-request-id", request_id),
        ("proxy-status", &proxy_status),
        ("date", &clock::http_date()),
    ] {
        push_field(&mut head, name, value.as_bytes());
    }
    if let Some(after) = answer.retry_after {
        push_field(
            &mut head,
            "retry-after",
            after.as_secs().to_string().as_bytes(),
        );
    }
    if let Error::MethodNotAllowed { allow } = error {
        push_field(&mut head, "allow", allow.as_bytes());
    }
    Response {
        status: answer.status.as_u16(),
        head,
        length: Announced::Length(body.len() as u64),
        closes: closes(answer.origin, answer.status),
        body: ResponseBody::Own(Some(body)),
        flight: None,
    }
}

/// Whether the caller's connection ends with an answer: when what it sent, or is still sending, cannot
/// be relied upon to be a request's end.
fn closes(origin: Origin, status: StatusCode) -> bool {
    let ends = [
        StatusCode::BAD_REQUEST,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    ];
    origin == Origin::Client && ends.contains(&status)
}
