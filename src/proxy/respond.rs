//! Last step: the gateway's answer is relayed, or an error becomes the proxy's own answer.
//!
//! Own answers have the gateway's shape, so that a caller's parser works, and codes with a prefix of
//! their own, so that nobody confuses the two. Their texts are fixed: never a caller's value, an address or a secret.

use bytes::Bytes;
use http::header::{
    ALLOW, ALT_SVC, CONNECTION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Body;
use serde_json::json;

use super::body::{Relayed, ResponseBody};
use super::forward::Exchange;
use super::idle::IdleTimer;
use super::{Settings, head, location};
use crate::error::{Error, Origin};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The answer of the gateway, as the caller gets it.
pub(super) fn relay(settings: &Settings, exchange: Exchange) -> Response<ResponseBody> {
    let Exchange {
        response,
        connection,
        progress,
        reply,
    } = exchange;
    let (parts, body) = response.into_parts();
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 1);
    // Alt-Svc would send the caller to the gateway itself, past the proxy.
    head::pass_through(parts.headers, &mut headers, |name| *name != ALT_SVC);
    let route = &settings.routes[reply.route];
    let local = headers
        .get(LOCATION)
        .and_then(|value| location::local(value, route, &reply.host));
    if let Some(local) = local {
        headers.insert(LOCATION, local);
    }
    let idle = IdleTimer::new(settings.timeouts.idle);
    let mut relayed = Relayed {
        body,
        idle,
        connection: Some(connection),
        progress,
    };
    if relayed.body.is_end_stream() {
        relayed.finish();
    }
    let mut response = Response::new(ResponseBody::Relayed(Box::new(relayed)));
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}

/// The proxy's own answer to what went wrong.
pub(super) fn answer(error: &Error, request_id: &str) -> Response<ResponseBody> {
    let answer = error.answer();
    let body = json!({
        "error_code": format!("PROXY.{}", answer.code),
        "error_msg": error.to_string(),
        "request_id": request_id,
    });
    let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(body.to_string()))));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CROSS_ORIGIN_RESOURCE_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    insert(headers, X_REQUEST_ID, request_id);
    insert(
        headers,
        PROXY_STATUS,
        &format!("apig-proxy; error={}", answer.proxy_status),
    );
    if let Some(after) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    if let Error::MethodNotAllowed { allow } = error {
        insert(headers, ALLOW, allow);
    }
    if closes(answer.origin, answer.status) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the caller's connection ends with an answer: when what it sent, or is still sending, cannot
/// be relied upon to be a request's end.
fn closes(origin: Origin, status: StatusCode) -> bool {
    let ends = [
        StatusCode::BAD_REQUEST,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
    ];
    origin == Origin::Client && ends.contains(&status)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("texts of the proxy's own are visible ascii");
    headers.insert(name, value);
}
