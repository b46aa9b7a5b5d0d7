//! The proxy's own responses: what becomes of an error, or of a panic.
//!
//! They have the gateway's shape, so that a caller's parser works, and codes with a prefix of their
//! own, so that the two cannot be confused. Their texts are fixed: never a caller's value, an
//! address or a secret.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body_util::{BodyExt, Collected};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::json;

use super::body::ResponseBody;
use super::capture;
use super::context::RequestContext;
use super::cors;
use crate::clock;
use crate::error::{Answer, Error, Origin};
use crate::telemetry::access_log::ResponseEnd;
use crate::telemetry::metrics::Outcome;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What is escaped in `grpc-message`, besides what is not ASCII.
const GRPC_ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Runs a request and counts its response; an error becomes one. A panic costs one request, not the
/// worker: what it leaves half-done belongs to the request alone, since the pool is changed in
/// single steps.
pub(super) async fn respond(
    context: &Rc<RequestContext>,
    run: impl Future<Output = Result<Response<ResponseBody>, Error>>,
) -> Response<ResponseBody> {
    // tower-http's layer boxes the body of every response, and answers in a shape of its own.
    let run = AssertUnwindSafe(run).catch_unwind();
    // Each arm tells the inspector by itself, so that no response is moved more often for it.
    let tell = |response: &Response<ResponseBody>, error| {
        if let Some(capture) = context.capture() {
            capture::relayed(capture, context.version, response, error);
        }
    };
    match run.await.unwrap_or(Err(Error::Internal("panic"))) {
        Ok(response) => {
            if context.answer.get().is_none() {
                let status = response.status().as_u16();
                context.answered(status, Outcome::relayed(status, false));
                context.ended(ResponseEnd::Whole);
            }
            tell(&response, None);
            response
        }
        Err(error) => {
            let response = failed(context, &error);
            tell(&response, Some(&error));
            response
        }
    }
}

/// Logs and counts an error, and builds its response.
pub(super) fn failed(context: &Rc<RequestContext>, error: &Error) -> Response<ResponseBody> {
    // A caller that has gone is counted as such when the context is dropped.
    if !matches!(error, Error::BodyIncomplete(_)) {
        let Answer { status, code, .. } = error.answer();
        context.answered(status.as_u16(), Outcome::Proxy(code));
    }
    answer(error, context.method, context.id, Some(context))
}

/// Logs an error and builds its response, for requests that are not counted. The method is empty
/// if it is unknown.
pub fn refused(method: &str, error: &Error) -> Response<ResponseBody> {
    answer(error, method, fastrand::u128(..), None)
}

/// A complete response as HTTP/1.1, for what hyper could not read as a request. The connection ends
/// with it.
pub(crate) fn serialize(response: Response<ResponseBody>) -> Bytes {
    let (head, body) = response.into_parts();
    let body = body.collect().now_or_never().and_then(Result::ok);
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != CONNECTION) {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let length = body.len();
    let end = format!("content-length: {length}\r\nconnection: close\r\n\r\n");
    [&*bytes, end.as_bytes(), &body].concat().into()
}

/// Logs an error. The request is named by 32 hexadecimal digits, as by the gateway.
fn log(error: &Error, method: &str, request_id: &str) {
    let answer = error.answer();
    let (code, cause) = (answer.code, error.cause());
    match answer.origin {
        Origin::Client => tracing::info!(%request_id, method, code, %cause, "refused: {error}"),
        // Shedding load is what the proxy is meant to do then, so it is no failure of its own.
        Origin::Proxy if answer.retry_after.is_none() => {
            tracing::error!(%request_id, method, code, %cause, "failed: {error}");
        }
        Origin::Upstream | Origin::Proxy => {
            tracing::warn!(%request_id, method, code, %cause, "failed: {error}");
        }
    }
}

/// Logs an error, and builds the response to it.
fn answer(
    error: &Error,
    method: &str,
    id: u128,
    context: Option<&Rc<RequestContext>>,
) -> Response<ResponseBody> {
    let (answer, request_id) = (error.answer(), format!("{id:032x}"));
    log(error, method, &request_id);
    let mut headers = error_headers(error, &answer, context);
    set(&mut headers, "x-request-id", &request_id);
    let mut status = answer.status;
    let mut body = Bytes::new();
    if context.is_some_and(|request| request.is_grpc) {
        add_grpc_status(&mut headers, error);
        status = StatusCode::OK;
    } else {
        let json = json!({
            "error_code": format!("PROXY.{}", answer.code),
            "error_msg": error.to_string(),
            "request_id": request_id,
        });
        body = json.to_string().into();
    }
    let mut response = Response::new(ResponseBody::whole(body, context.cloned()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn error_headers(
    error: &Error,
    answer: &Answer,
    context: Option<&Rc<RequestContext>>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    own_headers(&mut headers, "application/json");
    let proxy_status = format!("apig-proxy; error={}", answer.proxy_status);
    set(&mut headers, "proxy-status", &proxy_status);
    if let Some(after) = answer.retry_after {
        headers.insert(RETRY_AFTER, after.as_secs().into());
    }
    if let Error::MethodNotAllowed { allow } = error {
        set(&mut headers, ALLOW.as_str(), allow);
    }
    // The rest of such a request cannot be told from the next one, or the guard refused it.
    let closes = matches!(answer.status.as_u16(), 400 | 403 | 408 | 413 | 414 | 431);
    let is_http1 = context.is_none_or(|request| request.version != Version::HTTP_2);
    if is_http1 && answer.origin == Origin::Client && closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(origin) = context.and_then(|request| request.origin.get()) {
        cors::allow(&mut headers, origin);
    }
    headers
}

/// The headers of every response of the proxy's own.
pub(crate) fn own_headers(headers: &mut HeaderMap, content_type: &'static str) {
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (RESOURCE_POLICY, "same-origin"),
        // A browser that shows it must not load a favicon of the proxy's origin, which would be a
        // signed request.
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(DATE, date());
}

/// The value of `Date` now.
pub(super) fn date() -> HeaderValue {
    HeaderValue::try_from(clock::http_date()).expect("a date is a header value")
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// gRPC callers find the status of a call in a head with status 200 and no body ("trailers-only").
fn add_grpc_status(headers: &mut HeaderMap, error: &Error) {
    let Answer { status, code, .. } = error.answer();
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(CONTENT_TYPE, grpc);
    headers.insert("grpc-status", grpc_status(status).into());
    let message = format!("PROXY.{code}: {error}");
    let message = utf8_percent_encode(&message, GRPC_ESCAPED).to_string();
    set(headers, "grpc-message", &message);
}

/// The code of gRPC for an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping", with more of
/// them).
fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        401 => 16,                  // UNAUTHENTICATED
        403 => 7,                   // PERMISSION_DENIED
        404 | 405 | 501 => 12,      // UNIMPLEMENTED
        408 | 504 => 4,             // DEADLINE_EXCEEDED
        413 | 414 | 429 | 431 => 8, // RESOURCE_EXHAUSTED
        502 | 503 => 14,            // UNAVAILABLE
        _ => 13,                    // INTERNAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::caller::CallerConnection;
    use crate::proxy::guard::ListenerKind;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test]
    async fn fault_79_a_panic_in_a_request_is_answered_with_500_and_tells_nothing() {
        let caller = CallerConnection::new(ListenerKind::Tcp, Default::default());
        let metrics = Metrics::default();
        let context = RequestContext::begin(Rc::new(metrics.worker()), caller.into(), None, None);
        let response = respond(&context, async { panic!("MARKER") }).await;
        assert_eq!(response.status(), 500);
        let bytes = serialize(response);
        let text = str::from_utf8(&bytes).unwrap();
        assert!(text.contains("\"PROXY.internal\""), "{text}");
        assert!(!text.contains("MARKER"), "{text}");
    }
}
