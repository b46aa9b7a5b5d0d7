//! Last step: the gateway's answer is passed on, or an error becomes the proxy's own answer.
//!
//! Own answers have the gateway's shape, so that a caller's parser works, and codes with a prefix of their
//! own, so that nobody confuses the two. Their texts are fixed: never a caller's value, an address or a
//! secret.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER, TRAILER, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use serde_json::json;

use super::body::{RelayedBody, ResponseBody};
use super::context::RequestContext;
use super::gateway_reply::GatewayReply;
use super::redact::{self, Redactor};
use super::{Settings, cors, grpc, headers, location};
use crate::clock;
use crate::error::{Error, Origin};

/// The header that says what is wrong with a refused request.
const HINT: HeaderName = HeaderName::from_static("x-apig-proxy-hint");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The answer of the gateway, as the caller gets it.
pub(super) fn relay(settings: &Settings, reply: GatewayReply) -> Response<ResponseBody> {
    let context = Rc::clone(&reply.context);
    let mut headers = relayed_headers(settings, &reply);
    if let Some(hint) = reply.hint
        && let Ok(hint) = HeaderValue::try_from(hint)
    {
        headers.insert(HINT, hint);
    }
    let mut head = reply.head;
    if let Some(redactor) = &reply.redactor {
        redact_reason(redactor, &mut head.extensions);
    }
    // What the caller still sends is not read any more, so its connection ends with the answer.
    let upload = &context.upload;
    if upload.is_stopped() && !upload.is_finished() && context.version != Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let idle = settings.timeouts.idle;
    let body = RelayedBody::new(reply.body, reply.redactor, idle, context);
    let mut answer = Response::new(ResponseBody::relayed(body));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers;
    // hyper keeps the words behind the status there.
    *answer.extensions_mut() = head.extensions;
    answer
}

/// The answer to a WebSocket handshake. What follows it is passed on by the tunnel.
pub(super) fn switch(head: &http::response::Parts) -> Response<ResponseBody> {
    let mut answer = Response::new(ResponseBody::whole(Bytes::new(), None));
    *answer.status_mut() = head.status;
    let headers = answer.headers_mut();
    headers::pass(&head.headers, headers, headers::is_for_caller);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer
}

fn relayed_headers(settings: &Settings, reply: &GatewayReply) -> HeaderMap {
    let (head, context) = (&reply.head, &reply.context);
    let route = &settings.routes[reply.route];
    let local = headers::only(&head.headers, &LOCATION)
        .and_then(|value| {
            let host = context.host.get()?.to_str().ok()?;
            let is_tls = context.caller.listener().is_tls();
            location::local(value.as_bytes(), route, host, is_tls)
        })
        .and_then(|local| HeaderValue::try_from(local).ok());
    let is_allowed = context.origin.get().is_some();
    let mut passed = HeaderMap::with_capacity(head.headers.len() + 4);
    headers::pass(&head.headers, &mut passed, |name| {
        let is_replaced = local.is_some() && name == LOCATION;
        let is_decoded = reply.is_decoded && name == CONTENT_ENCODING;
        let is_answered_here = is_allowed && cors::is_answered_here(name);
        headers::is_for_caller(name) && !is_replaced && !is_decoded && !is_answered_here
    });
    redact::headers(reply.redactor.as_ref(), &mut passed);
    if let Some(local) = local {
        passed.insert(LOCATION, local);
    }
    // Without it, hyper sends no trailers over HTTP/1.1.
    if context.takes_trailers && context.version == Version::HTTP_11 {
        for names in head.headers.get_all(TRAILER) {
            passed.append(TRAILER, names.clone());
        }
    }
    // There is no body to measure, but the gateway says how long it would be.
    if (context.is_head || head.status == StatusCode::NOT_MODIFIED)
        && let Some(length) = told_length(&head.headers)
    {
        passed.insert(CONTENT_LENGTH, length.into());
    }
    if let Some(origin) = context.origin.get() {
        cors::allow(&mut passed, origin);
    }
    if !passed.contains_key(DATE) {
        passed.insert(DATE, date());
    }
    passed
}

/// The words behind the status may repeat a secret too.
fn redact_reason(redactor: &Redactor, extensions: &mut http::Extensions) {
    if let Some(reason) = extensions.remove::<ReasonPhrase>()
        && let Ok(reason) = ReasonPhrase::try_from(redactor.redact(reason.as_bytes()))
    {
        extensions.insert(reason);
    }
}

fn told_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn date() -> HeaderValue {
    HeaderValue::try_from(clock::http_date()).expect("a date is a header value")
}

/// The proxy's own answer to what went wrong.
pub(super) fn answer(
    error: &Error,
    request_id: &str,
    context: Option<Rc<RequestContext>>,
) -> Response<ResponseBody> {
    let answer = error.answer();
    let body = own_body(error, request_id);
    let closes = closes(answer.origin, answer.status);
    let is_http1 = context
        .as_ref()
        .is_none_or(|context| context.version != Version::HTTP_2);
    let origin = context
        .as_ref()
        .and_then(|context| context.origin.get().cloned());
    let is_grpc = context.as_ref().is_some_and(|context| context.is_grpc);
    let mut response = Response::new(ResponseBody::whole(body, context));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    own_headers(headers, "application/json");
    let proxy_status = format!("apig-proxy; error={}", answer.proxy_status);
    let values = [
        (REQUEST_ID, Some(request_id)),
        (PROXY_STATUS, Some(&proxy_status)),
    ];
    for (name, value) in values {
        let value = value.and_then(|value| HeaderValue::try_from(value).ok());
        headers.extend(value.map(|value| (name, value)));
    }
    if let Some(after) = answer.retry_after {
        headers.insert(RETRY_AFTER, after.as_secs().into());
    }
    if let Error::MethodNotAllowed { allow } = error
        && let Ok(allow) = HeaderValue::try_from(allow)
    {
        headers.insert(ALLOW, allow);
    }
    if closes && is_http1 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(origin) = origin {
        cors::allow(headers, &origin);
    }
    if is_grpc {
        return grpc::answer(error, response);
    }
    response
}

/// The headers of every answer of the proxy's own.
pub(crate) fn own_headers(headers: &mut HeaderMap, content_type: &'static str) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    // A browser that shows it must not load a favicon of the proxy's origin, which would be a signed request.
    headers.insert(CONTENT_SECURITY_POLICY, NOTHING);
    headers.insert(DATE, date());
}

fn own_body(error: &Error, request_id: &str) -> Bytes {
    let body = json!({
        "error_code": format!("PROXY.{}", error.answer().code),
        "error_msg": error.to_string(),
        "request_id": request_id,
    });
    body.to_string().into()
}

/// A whole HTTP/1.1 answer to what hyper could not read as a request, and the length of its body. The connection
/// ends with it.
pub(super) fn bare_answer(error: &Error, request_id: &str) -> (Bytes, usize) {
    let answer = error.answer();
    let body = own_body(error, request_id);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n\
         cross-origin-resource-policy: same-origin\r\n\
         content-security-policy: default-src 'none'; sandbox\r\nx-request-id: {request_id}\r\n\
         proxy-status: apig-proxy; error={error}\r\ndate: {date}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n",
        status = answer.status,
        error = answer.proxy_status,
        date = clock::http_date(),
        length = body.len(),
    );
    let whole = [head.as_bytes(), &body].concat();
    (whole.into(), body.len())
}

/// Whether the caller's connection ends with an answer: when what it sent, or is still sending, cannot be
/// relied upon to be a request's end, and when the guard refused it.
fn closes(origin: Origin, status: StatusCode) -> bool {
    let ends = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    ];
    origin == Origin::Client && ends.contains(&status)
}
